/* SPDX-License-Identifier: MIT */
/*
 * /proc as guests see it: their own processes instead of the host's, and the host's everything else.
 *
 * A path in /proc is walked here, component by component. It ends as one of:
 *
 *   - a path of the host that means the same (/proc/cpuinfo stays; /proc/42/mountinfo is our own
 *     /proc/self/mountinfo; /proc/self/fd/3/x, /proc/42/cwd/x and /proc/42/exe start at a host
 *     descriptor we hold);
 *   - a node that is made here: p->proc_node with the guest (proc_pid, proc_tid). p->name is then the
 *     host's file of the same name, which answers stat(2), access(2) and the like.
 *
 * What shows an address space shows the one that the task had when the file was opened; its end leaves
 * nothing to show.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kfile.h"
#include "proc_query.h"
#include "procfs.h"
#include "syscalls_fs.h"
#include "task.h"

#define PAGE_SIZE 4096ull

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* An open node: kfile->priv. */
struct proc_file {
	const struct proc_node *node;
	int pid, tid, fd;
	struct aspace_mm *mm;	/* of a kind that shows one (mm_count), NULL: there was none */
	struct seq_file seq;
	struct text entries;	/* of a directory */
	bool made;		/* those were */
};

static const struct proc_node node_root = { .name = "", .kind = NODE_ROOT };
static const struct proc_node node_self = { .name = "", .kind = NODE_SELF };
static const struct proc_node node_thread_self = { .name = "", .kind = NODE_THREAD_SELF };
static const struct proc_node node_pid = { .name = "", .kind = NODE_PID };
static const struct proc_node node_tasks = { .name = "task", .kind = NODE_TASKS };
static const struct proc_node node_fds = { .name = "fd", .kind = NODE_FDS };
static const struct proc_node node_fdinfos = { .name = "fdinfo", .kind = NODE_FDINFOS };

/* ---- walking a path */

struct walk {
	struct task_struct *task;	/* who asks */
	struct pathname *p;
	char path[PATH_MAX];
	const char *rest;	/* not walked yet, begins with a component or is empty */
	int pid, tid;		/* tid 0: the process, not one of its threads */
};

/* Cuts off the next component; false: there is none. */
static bool next_component(struct walk *w, char *name, size_t size)
{
	for (;;) {
		size_t n;

		while (*w->rest == '/')
			w->rest++;
		n = strcspn(w->rest, "/");
		if (!n)
			return false;
		snprintf(name, size, "%.*s", (int)n, w->rest);
		w->rest += n;
		if (strcmp(name, "."))
			return true;
	}
}

static int number(const char *s)
{
	char *end;
	long n = *s >= '0' && *s <= '9' ? strtol(s, &end, 10) : -1;

	return n < 0 || *end || n > INT_MAX ? -1 : (int)n;
}

static bool more(struct walk *w)
{
	while (*w->rest == '/')
		w->rest++;
	return *w->rest;
}

/* The path goes on, or ends, at a path of the host. */
static int at_host(struct walk *w, const char *path)
{
	if (snprintf(w->p->name, PATH_MAX, "%s%s%s", path, more(w) ? "/" : "", w->rest) >= PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

static int at_host_fd(struct walk *w, int fd)
{
	char path[48];

	if (fd < 0)
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return at_host(w, path);
}

static int at_node(struct walk *w, const struct proc_node *node, const char *host)
{
	if (more(w) && node->kind >= NODE_TEXT)
		return -ENOTDIR;
	w->p->proc_node = node;
	w->p->proc_pid = w->pid ? w->pid : -1;
	w->p->proc_tid = w->tid;
	snprintf(w->p->name, PATH_MAX, "%s", host);
	return 0;
}

static struct task_struct *walked_task(struct walk *w)
{
	return find_task(w->task->kernel, w->tid ? w->tid : w->pid);
}

static int walk_root(struct walk *w);
static int walk_pid(struct walk *w);

static int walk_tasks(struct walk *w)
{
	char name[NAME_MAX + 1];
	struct task_struct *t;

	if (!next_component(w, name, sizeof(name)))
		return at_node(w, &node_tasks, "/proc/self/task");
	if (!strcmp(name, ".."))
		return walk_pid(w);
	t = find_task(w->task->kernel, number(name));
	if (!t || t->tgid != w->pid)
		return -ENOENT;
	w->tid = t->pid;
	return walk_pid(w);
}

static int walk_fds(struct walk *w, bool info)
{
	char name[NAME_MAX + 1];
	struct task_struct *t = walked_task(w);
	struct kfile *f;
	int fd;

	if (!next_component(w, name, sizeof(name)))
		return info ? at_node(w, &node_fdinfos, "/proc/self/fdinfo") : at_node(w, &node_fds, "/proc/self/fd");
	if (!strcmp(name, ".."))
		return walk_pid(w);
	fd = number(name);
	f = t->files ? files_lookup(t->files, fd) : NULL;
	if (!f)
		return -ENOENT;
	w->p->proc_fd = fd;
	if (!info) {
		int err = at_host_fd(w, f->host_fd);

		if (f->name && !*w->rest)	/* proc_readlink and proc_open need to know */
			w->p->proc_pid = w->pid, w->p->proc_tid = w->tid;
		return err;
	}
	snprintf(w->p->name, PATH_MAX, "/proc/self/fdinfo/%d", f->host_fd);
	return at_node(w, &proc_fdinfo_node, w->p->name);
}

static int exe_fd(struct task_struct *t)
{
	struct aspace_file *exe = t->mm ? aspace_mm_exe_file(t->mm) : NULL;
	int fd;

	if (!exe)
		return -1;
	fd = mapped_host_fd(exe);
	aspace_file_put(exe);
	return fd;
}

static int walk_pid(struct walk *w)
{
	char name[NAME_MAX + 1], host[NAME_MAX + 32];
	struct task_struct *t = walked_task(w);

	if (!t)
		return -ENOENT;
	if (!next_component(w, name, sizeof(name))) {
		snprintf(host, sizeof(host), "/proc/%d", getpid());
		return at_node(w, &node_pid, host);
	}
	if (!strcmp(name, "..")) {
		if (!w->tid)
			return walk_root(w);
		w->tid = 0;
		return walk_tasks(w);
	}
	if (!strcmp(name, "task") && !w->tid)
		return walk_tasks(w);
	if (!strcmp(name, "fd") || !strcmp(name, "fdinfo"))
		return walk_fds(w, name[2]);
	if (!strcmp(name, "exe"))
		return at_host_fd(w, exe_fd(t));
	if (!strcmp(name, "cwd"))
		return at_host_fd(w, t->fs ? t->fs->cwd_fd : -1);
	if (!strcmp(name, "map_files"))
		return -ENOENT;
	if (!strcmp(name, "children"))
		snprintf(host, sizeof(host), "/proc/self/task/%d/children", getpid());
	else
		snprintf(host, sizeof(host), "/proc/self/%s", name);
	for (size_t i = 0; i < proc_pid_nodes_nr; i++)
		if (!strcmp(name, proc_pid_nodes[i].name))
			return at_node(w, &proc_pid_nodes[i], host);
	return at_host(w, host);
}

static int walk_root(struct walk *w)
{
	const char *before = w->rest;
	char name[NAME_MAX + 1];

	w->pid = w->tid = 0;
	if (!next_component(w, name, sizeof(name)))
		return at_node(w, &node_root, "/proc");
	if (!strcmp(name, "self") || !strcmp(name, "thread-self")) {
		bool thread = name[0] == 't';

		w->pid = w->task->tgid;
		w->tid = thread ? w->task->pid : 0;
		if (!more(w))
			return at_node(w, thread ? &node_thread_self : &node_self,
				       thread ? "/proc/thread-self" : "/proc/self");
		return walk_pid(w);
	}
	if (number(name) >= 0) {
		struct task_struct *t = find_task(w->task->kernel, number(name));

		if (!t)
			return -ENOENT;
		w->pid = t->tgid;
		w->tid = is_leader(t) ? 0 : t->pid;
		return walk_pid(w);
	}
	while (*before == '/')
		before++;
	w->rest = before;
	return at_host(w, "/proc");
}

/* The guest's standard names for its own descriptors. */
static int walk_dev(struct walk *w)
{
	static const char *const std[] = { "stdin", "stdout", "stderr" };
	char name[NAME_MAX + 1];

	w->pid = w->task->tgid;
	if (!next_component(w, name, sizeof(name)))
		return 0;
	if (!strcmp(name, "fd") && more(w))
		return walk_fds(w, false);
	for (int i = 0; i < 3; i++)
		if (!strcmp(name, std[i])) {
			struct kfile *f = fcheck(w->task, i);

			w->p->proc_fd = i;
			return at_host_fd(w, f ? f->host_fd : -1);
		}
	if (!strcmp(name, "fd"))
		return at_node(w, &node_fds, "/proc/self/fd");
	return 0;
}

int proc_lookup(struct task_struct *task, struct pathname *p)
{
	struct walk w = { .task = task, .p = p };
	const char *s = p->name + strspn(p->name, "/");
	bool proc = !strncmp(s, "proc", 4) && (s[4] == '/' || !s[4]);

	if (!proc && strncmp(s, "dev/fd", 6) && strncmp(s, "dev/std", 7))
		return 0;
	memcpy(w.path, p->name, strlen(p->name) + 1);
	w.rest = w.path + (s - p->name) + (proc ? 4 : 3);
	return proc ? walk_root(&w) : walk_dev(&w);
}

bool proc_is_virtual(const struct pathname *p)
{
	return p->proc_node || (p->proc_pid && p->proc_fd >= 0);
}

int64_t proc_readlink(struct task_struct *task, struct pathname *p, char *buf, size_t n)
{
	struct task_struct *t;
	struct kfile *f;

	if (p->proc_node && p->proc_node->kind == NODE_SELF)
		return snprintf(buf, n, "%d", task->tgid);
	if (p->proc_node && p->proc_node->kind == NODE_THREAD_SELF)
		return snprintf(buf, n, "%d/task/%d", task->tgid, task->pid);
	if (p->proc_node || !p->proc_pid || p->proc_fd < 0)
		return 0;
	t = find_task(task->kernel, p->proc_tid ? p->proc_tid : p->proc_pid);
	f = t && t->files ? files_lookup(t->files, p->proc_fd) : NULL;
	return f && f->name ? snprintf(buf, n, "%s", f->name) : 0;
}

/* ---- open nodes */

static struct task_struct *task_of(struct task_struct *task, const struct proc_file *pf)
{
	return find_task(task->kernel, pf->tid ? pf->tid : pf->pid);
}

/* The address space that was opened, or NULL: nobody lives in it any more. The answer is put. */
static struct aspace_mm *living(const struct proc_file *pf)
{
	return pf->mm && aspace_mm_get_not_zero(pf->mm) ? pf->mm : NULL;
}

static void put(struct aspace_mm *mm)
{
	if (mm)
		aspace_mm_put(mm);
}

struct reader {
	struct proc_file *pf;
	struct task_struct *task;
};

/* The whole is one record. */
static int show_text(void *priv, struct text *out, uint64_t *index)
{
	struct reader *r = priv;
	struct task_struct *t;
	int err;

	if (*index)
		return 0;
	t = task_of(r->task, r->pf);
	if (!t)
		return -ESRCH;
	*index = 1;
	err = r->pf->node->show(t, out, r->pf->fd);
	return err < 0 ? err : 1;
}

static int64_t read_text(struct kfile *f, struct task_struct *task, uint64_t pos, void *buf, size_t n)
{
	struct reader r = { f->priv, task };

	return r.pf->node->show ? seq_read(&r.pf->seq, show_text, &r, pos, buf, n) : -EINVAL;
}

static int64_t read_areas(struct kfile *f, struct task_struct *task, uint64_t pos, void *buf, size_t n)
{
	struct proc_file *pf = f->priv;
	struct aspace_mm *mm;
	int64_t got;

	if (!task_of(task, pf))
		return -ESRCH;
	mm = living(pf);
	got = seq_read(&pf->seq, pf->node->show_area, mm, pos, buf, n);
	put(mm);
	return got;
}

static int64_t write_text(struct kfile *f, struct task_struct *task, uint64_t pos, const void *buf, size_t n)
{
	struct proc_file *pf = f->priv;
	struct task_struct *t = task_of(task, pf);
	char text[64];
	int err;

	if (!pf->node->store)
		return -EINVAL;
	if (!t)
		return -ESRCH;
	snprintf(text, sizeof(text), "%.*s", (int)(n < 63 ? n : 63), (const char *)buf);
	err = pf->node->store(t, text);
	return err < 0 ? err : (int64_t)n;
}

static int64_t access_mem(struct kfile *f, uint64_t pos, void *buf, size_t n, bool write)
{
	struct aspace_mm *mm = living(f->priv);
	int64_t r;

	if (!mm)
		return 0;
	r = aspace_access_remote(mm, pos, buf, n, ASPACE_FORCE | (write ? ASPACE_WRITE : 0));
	put(mm);
	return r <= 0 ? -EIO : r;
}

static int64_t read_mem(struct kfile *f, struct task_struct *task, uint64_t pos, void *buf, size_t n)
{
	return access_mem(f, pos, buf, n, false);
}

static int64_t write_mem(struct kfile *f, struct task_struct *task, uint64_t pos, const void *buf, size_t n)
{
	return access_mem(f, pos, (void *)buf, n, true);
}

static int64_t read_pagemap(struct kfile *f, struct task_struct *task, uint64_t pos, void *buf, size_t n)
{
	struct aspace_layout l = { .size = sizeof(l) };
	uint64_t page = pos / 8, left;
	struct aspace_mm *mm;
	int64_t r;

	if (pos % 8 || n % 8)
		return -EINVAL;
	mm = living(f->priv);
	if (!mm)
		return 0;
	aspace_mm_layout(mm, &l);
	left = l.task_size / PAGE_SIZE - min_u64(page, l.task_size / PAGE_SIZE);
	r = left ? aspace_pagemap_read(mm, page * PAGE_SIZE, buf, min_u64(n / 8, left)) : 0;
	put(mm);
	return r < 0 ? r : r * 8;
}

/* Kept beside the areas: still there when those are gone. */
static int64_t read_auxv(struct kfile *f, struct task_struct *task, uint64_t pos, void *buf, size_t n)
{
	const struct proc_file *pf = f->priv;
	char auxv[1024];
	size_t have = min_u64(aspace_mm_auxv(pf->mm, auxv, sizeof(auxv)), sizeof(auxv));

	if (pos >= have)
		return 0;
	n = min_u64(n, have - pos);
	memcpy(buf, auxv + pos, n);
	return n;
}

static int64_t read_environ(struct kfile *f, struct task_struct *task, uint64_t pos, void *buf, size_t n)
{
	struct aspace_mm *mm = living(f->priv);
	struct aspace_layout l = { .size = sizeof(l) };
	int64_t r = 0;

	if (!mm)
		return 0;
	aspace_mm_layout(mm, &l);
	if (pos < l.env_end - l.env_start)
		r = aspace_access_remote(mm, l.env_start + pos, buf, min_u64(n, l.env_end - l.env_start - pos),
					 ASPACE_FORCE);
	put(mm);
	return r;
}

/* ---- directories */

static void add_entry(struct text *out, ino_t ino, unsigned char type, const char *name)
{
	size_t n = offsetof(struct dirent64, d_name) + strlen(name) + 1;
	struct dirent64 d = { .d_ino = ino, .d_type = type };

	d.d_reclen = (n + 7) & ~7ul;
	d.d_off = out->n + d.d_reclen;
	snprintf(d.d_name, sizeof(d.d_name), "%s", name);
	text_add(out, (char *)&d, d.d_reclen);
}

static void add_number(struct text *out, int n, unsigned char type)
{
	char name[16];

	snprintf(name, sizeof(name), "%d", n);
	add_entry(out, 1000000 + n, type, name);
}

/* The names of a host directory, without numbers. */
static void add_host_names(struct text *out, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *d;

	if (!dir)
		return;
	while ((d = readdir(dir)))
		if (number(d->d_name) < 0)
			add_entry(out, d->d_ino, d->d_type, d->d_name);
	closedir(dir);
}

static int compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Pids of processes (tgid 0) or of the threads of one, in order. */
static void add_pids(struct kernel *k, struct text *out, int tgid)
{
	struct task_struct *t;
	size_t n = 0, room = 64;
	int *pid = malloc(room * sizeof(*pid));

	list_for_each_entry(t, &k->tasks, tasks) {
		if (tgid ? t->tgid != tgid : !is_leader(t))
			continue;
		if (n == room) {
			int *bigger = realloc(pid, 2 * room * sizeof(*pid));

			if (!bigger)
				break;
			pid = bigger;
			room *= 2;
		}
		if (pid)
			pid[n++] = t->pid;
	}
	qsort(pid, n, sizeof(*pid), compare_ints);
	for (size_t i = 0; i < n; i++)
		add_number(out, pid[i], DT_DIR);
	free(pid);
}

static void add_fds(struct task_struct *t, struct text *out, unsigned char type)
{
	for (int fd = 0; t->files && (fd = files_next(t->files, fd)) >= 0; fd++)
		add_number(out, fd, type);
}

static void add_dots(struct text *out)
{
	add_entry(out, 1, DT_DIR, ".");
	add_entry(out, 1, DT_DIR, "..");
}

static int make_entries(struct task_struct *task, struct proc_file *pf)
{
	struct task_struct *t = pf->node->kind == NODE_ROOT ? task : task_of(task, pf);
	struct text *out = &pf->entries;

	if (!t)
		return -ENOENT;
	out->n = 0;
	out->error = 0;
	switch (pf->node->kind) {
	case NODE_ROOT:
		add_host_names(out, "/proc");
		add_pids(task->kernel, out, 0);
		return 0;
	case NODE_TASKS:
		add_dots(out);
		add_pids(task->kernel, out, t->tgid);
		return 0;
	case NODE_FDS:
		add_dots(out);
		add_fds(t, out, DT_LNK);
		return 0;
	case NODE_FDINFOS:
		add_dots(out);
		add_fds(t, out, DT_REG);
		return 0;
	default:
		add_host_names(out, pf->tid ? "/proc/thread-self" : "/proc/self");
		return 0;
	}
}

static int64_t read_dir(struct kfile *f, struct task_struct *task, void *buf, size_t n)
{
	struct proc_file *pf = f->priv;
	size_t done = 0;

	if (!f->pos || !pf->made) {
		int err = make_entries(task, pf);

		if (err)
			return err;
		pf->made = true;
	}
	while (f->pos < pf->entries.n) {
		const struct dirent64 *d = (const void *)(pf->entries.p + f->pos);

		if (d->d_reclen > n - done)
			return done ? (int64_t)done : -EINVAL;
		memcpy((char *)buf + done, d, d->d_reclen);
		done += d->d_reclen;
		f->pos += d->d_reclen;
	}
	return done;
}

static void release(struct kfile *f)
{
	struct proc_file *pf = f->priv;

	if (pf->mm)
		aspace_mm_drop(pf->mm);
	seq_release(&pf->seq);
	text_free(&pf->entries);
	free(pf);
}

/* PROCMAP_QUERY of maps, PAGEMAP_SCAN of pagemap. */
static int64_t query_maps(struct kfile *f, struct task_struct *task, unsigned cmd, uint64_t arg)
{
	struct proc_file *pf = f->priv;
	struct aspace_mm *mm;
	int64_t r;

	if (!proc_node_is_maps(pf->node) || cmd != PROCMAP_QUERY)
		return -ENOIOCTLCMD;
	mm = living(pf);
	r = mm ? procmap_query(task, mm, arg) : -ESRCH;
	put(mm);
	return r;
}

static int64_t scan_pagemap(struct kfile *f, struct task_struct *task, unsigned cmd, uint64_t arg)
{
	struct aspace_mm *mm;
	int64_t r;

	if (cmd != PAGEMAP_SCAN)
		return -ENOIOCTLCMD;
	mm = living(f->priv);
	r = mm ? pagemap_scan(task, mm, arg) : -ESRCH;
	put(mm);
	return r;
}

static const struct kfile_ops text_ops = { .read = read_text, .write = write_text, .release = release };
static const struct kfile_ops areas_ops = { .read = read_areas, .ioctl = query_maps, .release = release };
static const struct kfile_ops mem_ops = { .read = read_mem, .write = write_mem, .release = release };
static const struct kfile_ops pagemap_ops = { .read = read_pagemap, .ioctl = scan_pagemap, .release = release };
static const struct kfile_ops auxv_ops = { .read = read_auxv, .release = release };
static const struct kfile_ops environ_ops = { .read = read_environ, .release = release };
static const struct kfile_ops dir_ops = { .getdents = read_dir, .release = release };

static const struct kfile_ops *ops_of(const struct proc_node *node)
{
	switch (node->kind) {
	case NODE_TEXT:
		return &text_ops;
	case NODE_AREAS:
		return &areas_ops;
	case NODE_MEM:
		return &mem_ops;
	case NODE_PAGEMAP:
		return &pagemap_ops;
	case NODE_AUXV:
		return &auxv_ops;
	case NODE_ENVIRON:
		return &environ_ops;
	default:
		return &dir_ops;
	}
}

int proc_dir_pid(const struct kfile *f)
{
	const struct proc_file *pf = f->ops == &dir_ops ? f->priv : NULL;

	return pf && (pf->node == &node_pid || pf->node == &node_self) && !pf->tid ? pf->pid : 0;
}

static int guest_name(const struct proc_file *pf, char *buf, size_t n)
{
	const char *name = pf->node->name, *sep = *name ? "/" : "";
	char fd[16] = "";

	if (pf->node->kind == NODE_ROOT)
		return snprintf(buf, n, "/proc");
	if (pf->fd >= 0)
		snprintf(fd, sizeof(fd), "/%d", pf->fd);
	if (pf->tid)
		return snprintf(buf, n, "/proc/%d/task/%d%s%s%s", pf->pid, pf->tid, sep, name, fd);
	return snprintf(buf, n, "/proc/%d%s%s%s", pf->pid, sep, name, fd);
}

static struct kfile *open_node(struct task_struct *task, const struct proc_file *what, const char *host,
			       int flags)
{
	struct task_struct *t = what->node->kind >= NODE_AREAS ? task_of(task, what) : NULL;
	struct aspace_mm *mm = t ? t->mm : NULL;
	struct proc_file *pf;
	struct kfile *f;
	char name[128];
	int fd;

	if (!mm && proc_node_needs_mm(what->node)) {
		errno = ESRCH;
		return NULL;
	}
	fd = open(host, (flags & ~(O_CREAT | O_EXCL | O_TRUNC)) | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	f = kfile_from_host(task->kernel, fd, flags & O_NONBLOCK);
	pf = malloc(sizeof(*pf));
	if (!f || !pf) {
		free(pf);
		if (f)
			kfile_put(f);
		errno = ENOMEM;
		return NULL;
	}
	*pf = (struct proc_file){ .node = what->node, .pid = what->pid, .tid = what->tid, .fd = what->fd, .mm = mm };
	if (mm)
		aspace_mm_grab(mm);
	f->priv = pf;
	f->ops = ops_of(pf->node);
	guest_name(pf, name, sizeof(name));
	f->name = strdup(name);
	return f;
}

/* /proc/PID/fd/N of a file that is itself made here: the node once more. */
static struct kfile *reopen_node(struct task_struct *task, struct pathname *p, int flags)
{
	struct task_struct *t = find_task(task->kernel, p->proc_tid ? p->proc_tid : p->proc_pid);
	struct kfile *f = t && t->files ? files_lookup(t->files, p->proc_fd) : NULL;

	if (!f || !f->ops) {
		errno = ENOENT;
		return NULL;
	}
	return open_node(task, f->priv, p->name, flags);
}

struct kfile *proc_open(struct task_struct *task, struct pathname *p, int flags, int *err)
{
	struct proc_file what = { .node = p->proc_node, .pid = p->proc_pid, .tid = p->proc_tid,
				  .fd = p->proc_fd };
	struct kfile *f;

	if (flags & O_PATH && p->proc_node) {
		int fd = open(p->name, flags | O_CLOEXEC);

		f = fd < 0 ? NULL : kfile_from_host(task->kernel, fd, false);
		if (f && f->kind == KFILE_DIR) {
			char name[128];

			guest_name(&what, name, sizeof(name));
			f->name = strdup(name);
		}
	} else {
		f = p->proc_node ? open_node(task, &what, p->name, flags) : reopen_node(task, p, flags);
	}
	if (!f)
		*err = -errno;
	return f;
}
