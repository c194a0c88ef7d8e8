/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "seq_file.h"

#define SEQ_SIZE 4096

/* ---- text */

int text_add(void *text, const char *s, size_t n)
{
	struct text *t = text;

	if (t->n + n > t->room) {
		size_t room = (t->n + n) * 2 + 1024;
		char *p = realloc(t->p, room);

		if (!p)
			return t->error = -ENOMEM;
		t->p = p;
		t->room = room;
	}
	memcpy(t->p + t->n, s, n);
	t->n += n;
	return t->error;
}

int text_printf(struct text *t, const char *format, ...)
{
	char line[1024];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	return text_add(t, line, n < (int)sizeof(line) ? n : (int)sizeof(line) - 1);
}

int text_host_file(struct text *t, const char *path)
{
	char buf[4096];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (text_add(t, buf, n))
			break;
	close(fd);
	return n < 0 ? -errno : t->error;
}

void text_free(struct text *t)
{
	free(t->p);
	*t = (struct text){ 0 };
}

/* ---- records */

/*
 * Makes records until there are `want` bytes or the next one has no place beside them; at least one that
 * isn't empty, however long. An error counts only where nothing else was made: it comes again.
 */
static int fill(struct seq_file *m, seq_show show, void *priv, size_t want)
{
	struct text *records = &m->records;
	uint64_t index = m->index;

	records->n = m->from = 0;
	records->error = 0;
	if (!m->size)
		m->size = SEQ_SIZE;
	while (!records->n || records->n < want) {
		size_t before = records->n;
		int more = show(priv, records, &index);

		if (!before && records->error)
			return records->error;
		if (more <= 0 || records->error || (before && records->n >= m->size)) {
			records->n = before;
			return before ? 0 : more;
		}
		m->index = index;
		while (records->n >= m->size)
			m->size *= 2;
	}
	return 0;
}

/* The record that holds the byte at pos, which it will be read from. */
static int traverse(struct seq_file *m, seq_show show, void *priv, uint64_t pos)
{
	m->index = m->pos = 0;
	m->records.n = m->from = 0;
	while (m->pos < pos) {
		int err = fill(m, show, priv, 1);

		if (err < 0)
			return err;
		m->from = m->records.n < pos - m->pos ? m->records.n : pos - m->pos;
		m->pos += m->from;
		if (!m->from)
			m->pos = pos;	/* beyond the end */
	}
	return 0;
}

static size_t take(struct seq_file *m, char *buf, size_t n)
{
	size_t left = m->records.n - m->from;

	n = n < left ? n : left;
	if (n)
		memcpy(buf, m->records.p + m->from, n);
	m->from += n;
	m->pos += n;
	return n;
}

int64_t seq_read(struct seq_file *m, seq_show show, void *priv, uint64_t pos, char *buf, size_t n)
{
	size_t done;
	int err = 0;

	if (!n)
		return 0;
	if (!pos || pos != m->pos)
		err = traverse(m, show, priv, pos);
	if (err < 0)
		return err;
	done = take(m, buf, n);
	if (m->from < m->records.n)
		return done;
	err = fill(m, show, priv, n - done);
	done += take(m, buf + done, n - done);
	return done || err >= 0 ? (int64_t)done : err;
}

void seq_release(struct seq_file *m)
{
	text_free(&m->records);
}
