/* SPDX-License-Identifier: MIT */
/*
 * Text that is made when it is read, record by record, as seq_file does it. A read gets whole records, as
 * many as fit the buffer of a page (which grows for a record that doesn't); one that a read leaves behind in
 * part is kept and read on from. After a seek the records are made anew, from the first.
 */
#ifndef KERNEL_SEQ_FILE_H
#define KERNEL_SEQ_FILE_H

#include <stddef.h>
#include <stdint.h>

/* Text that grows. */
struct text {
	char *p;
	size_t n, room;
	int error;	/* -ENOMEM: some of it is missing */
};

int text_add(void *text, const char *s, size_t n);	/* an aspace_emit; the text's error */
__attribute__((format(printf, 2, 3))) int text_printf(struct text *t, const char *format, ...);
int text_host_file(struct text *t, const char *path);	/* a whole file of the host, or -errno */
void text_free(struct text *t);

/* Adds the record that index stands at and moves index on. 1: it is there, perhaps empty; 0: none is left. */
typedef int (*seq_show)(void *priv, struct text *out, uint64_t *index);

/* All zero: nothing was read yet. */
struct seq_file {
	struct text records;	/* those from `from` on were not read yet */
	size_t from;
	size_t size;		/* of the buffer: records that reach it are too many */
	uint64_t index;		/* of the record after those */
	uint64_t pos;		/* in the file, of the byte at `from` */
};

int64_t seq_read(struct seq_file *m, seq_show show, void *priv, uint64_t pos, char *buf, size_t n);
void seq_release(struct seq_file *m);

#endif
