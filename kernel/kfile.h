/* SPDX-License-Identifier: MIT */
/*
 * Files of guests.
 *
 *   task -> files_struct -> slot (close-on-exec) -> kfile -> host fd
 *                                                     |
 *                                                   inode -> aspace_mapping (when mapped)
 *
 * A kfile is an open file description. Its contents, its position and its readiness are those of one
 * host description behind host_fd; what differs for the guest is kept here: O_NONBLOCK (host
 * descriptions that can block always have it), records locks, who is to be signalled.
 *
 * Host descriptions that came from outside (standard streams) are shared with processes that are not
 * ours, so their flags stay as they are: they are asked by poll(2) before each step.
 *
 * An inode stands for one (st_dev, st_ino) of the host. Only regular files have one. Its mapping is
 * the guest's page cache of that file; see inode.c for how reads, writes and the cache agree.
 */
#ifndef KERNEL_KFILE_H
#define KERNEL_KFILE_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "kernel.h"

enum kfile_kind {
	KFILE_REG,	/* regular or block: positions, never blocks */
	KFILE_DIR,
	KFILE_CHR,	/* a device that never blocks for long: null, zero, urandom */
	KFILE_TTY,
	KFILE_PIPE,
	KFILE_SOCKET,
	KFILE_ANON,	/* eventfd, timerfd, inotify, epoll */
};

struct kfile;
/* A file whose contents are made here (proc files): positions are kept in kfile->pos. */
#define ENOIOCTLCMD 515	/* inside only: not a command of this kind of file */

struct kfile_ops {
	int64_t (*read)(struct kfile *file, struct task_struct *task, uint64_t pos, void *buf, size_t n);
	int64_t (*write)(struct kfile *file, struct task_struct *task, uint64_t pos, const void *buf,
			 size_t n);
	/* NULL, or -ENOIOCTLCMD for a command that isn't the file's */
	int64_t (*ioctl)(struct kfile *file, struct task_struct *task, unsigned cmd, uint64_t arg);
	int64_t (*getdents)(struct kfile *file, struct task_struct *task, void *buf, size_t n);
	void (*release)(struct kfile *file);
};

struct kfile {
	unsigned refs;
	enum kfile_kind kind;
	int host_fd;
	unsigned accmode;	/* O_RDONLY, O_WRONLY, O_RDWR; never changes */
	bool path_only;		/* O_PATH */
	bool append, nonblock;	/* as the guest sees them */
	bool outside;		/* the host description is shared with the world outside */
	bool host_seekable;	/* it has a position */
	bool endless;		/* a memory device: zero, urandom */
	bool pty_master;
	struct inode *inode;	/* regular files */
	struct aspace_file *aspace;	/* made on first mmap */
	const struct kfile_ops *ops;
	void *priv;
	uint64_t pos;		/* of files with ops */
	char *name;		/* of files with ops: what /proc/PID/fd shows, what openat(2) starts at */
	int owner_pid, owner_sig;	/* F_SETOWN, F_SETSIG: remembered */
	uint64_t rcvtimeo_ns, sndtimeo_ns;	/* SO_RCVTIMEO, SO_SNDTIMEO; 0: for ever */
	int sock_type;		/* SO_TYPE; 0: not asked yet */
	int peer_pid;		/* the guest that made a pair of sockets; 0 */
	struct epoll_item *epoll_items;	/* of an epoll: what it watches */
	unsigned nr_epolls;	/* items of epolls that watch it */
	struct list_head all;
};

struct posix_lock;
struct inode {
	unsigned users;		/* kfiles and aspace files */
	bool idle, mapping_alive;
	dev_t dev;
	ino_t ino;
	struct inode *hash_next;
	struct list_head link;	/* kernel->inodes, idle ones last */
	struct aspace_mapping *mapping;	/* NULL: never mapped */
	int fd;			/* what the mapping reads and writes: a description of our own */
	bool fd_writable;
	bool shmem;		/* memfd: the mapping is the only contents */
	unsigned writable_files;	/* aspace files that may dirty pages */
	bool must_sync;		/* the last of those is gone, its pages may be dirty */
	off_t size;		/* as last seen on the host, with both times: */
	struct timespec mtime, ctime;
	struct posix_lock *locks;
	struct wait_queue lock_wait;
};

static inline int64_t host_ret(int64_t r)
{
	return r < 0 ? -errno : r;
}

/* ---- fdtable.c */
/* Takes over host_fd and looks at what it is; NULL: no memory (host_fd is closed). */
struct kfile *kfile_from_host(struct kernel *k, int host_fd, bool nonblock);
struct kfile *kfile_get(struct kfile *file);
/* The file behind fd without a reference: valid until something is closed. NULL: EBADF. */
struct kfile *fcheck(struct task_struct *task, int fd);
struct kfile *files_lookup(struct files_struct *files, int fd);
int files_next(struct files_struct *files, int fd);	/* the first open one >= fd, or -1 */
bool files_cloexec(struct files_struct *files, int fd);
unsigned files_size(struct files_struct *files);
/* Takes over the reference. The lowest free number >= min, or -EMFILE (file is put). */
int fd_install(struct task_struct *task, struct kfile *file, bool cloexec, int min);
/* kfile_from_host + fd_install. host_fd < 0: -errno of the call that made it. */
int fd_install_host(struct task_struct *task, int host_fd, bool nonblock, bool cloexec);
int fd_close(struct task_struct *task, int fd);
extern struct list_head all_kfiles;

/* ---- inode.c */
struct inode *inode_get(struct kernel *k, int host_fd, const struct stat *st);
void inode_put(struct inode *inode);
struct inode *inode_find(dev_t dev, ino_t ino);
/* Reads and writes must go through the mapping (aspace_mapping_read ...). */
bool inode_through_cache(struct inode *inode);
/* The host's file [offset, offset + n) was written behind the mapping. data NULL: unknown bytes. */
void inode_written(struct inode *inode, int host_fd, uint64_t offset, const void *data, size_t n);
void inode_truncated(struct inode *inode, uint64_t bytes);
void inode_sync(struct inode *inode);		/* what the guest wrote through mappings is in the file */
void inode_revalidate(struct inode *inode);	/* the file may have changed outside */
void inode_unlinked(const struct stat *st);	/* its last name may be gone */
int inode_make_shmem(struct kernel *k, struct inode *inode, int host_fd, bool sealable);
int mapped_host_fd(struct aspace_file *file);	/* of a file that kfile_aspace made; -1 */
void inodes_shrink(struct kernel *k);		/* give up what is only cached */

/* ---- open.c: paths */
struct pathname {
	int dirfd;		/* for a host *at call, with: */
	char name[PATH_MAX];
	struct kfile *file;	/* AT_EMPTY_PATH: the file itself; no reference */
	int proc_pid;		/* != 0: /proc of this guest, and proc_node (procfs.c) says what */
	int proc_tid;
	const struct proc_node *proc_node;
	int proc_fd;
};
#define LOOKUP_EMPTY 1		/* an empty path names dfd itself */
int user_path(struct task_struct *task, int dfd, uint64_t user, unsigned flags, struct pathname *p);
int kernel_path(struct task_struct *task, int dfd, const char *path, struct pathname *p);

/* xattr.c: for host calls that take no dirfd; buf[PATH_MAX] */
int host_path(const struct pathname *p, char *buf);

/* ---- procfs.c */
/* Rewrites an absolute path in /proc (or /dev/fd, /dev/stdin...) for the host. -errno. */
int proc_lookup(struct task_struct *task, struct pathname *p);
/* Opens what proc_lookup said is made here. NULL and *err. */
/* The process whose /proc/PID this is; 0: it is none. */
int proc_dir_pid(const struct kfile *f);
struct kfile *proc_open(struct task_struct *task, struct pathname *p, int flags, int *err);
/* The text of a link that differs from the host's; 0: it doesn't. */
int64_t proc_readlink(struct task_struct *task, struct pathname *p, char *buf, size_t n);
bool proc_is_virtual(const struct pathname *p);

/* ---- read_write.c */
#define BOUNCE_SIZE (256 << 10)
extern char bounce[BOUNCE_SIZE];	/* within one handler */
struct iov_iter {		/* guest memory, piece by piece */
	struct task_struct *task;
	struct iovec *iov;	/* guest addresses */
	struct iovec one;
	size_t nr, seg, seg_done;
	size_t left;
};
int iov_import(struct task_struct *task, struct iov_iter *it, uint64_t user, uint64_t nr);
void iov_single(struct task_struct *task, struct iov_iter *it, uint64_t user, size_t n);
void iov_free(struct iov_iter *it);
void iov_advance(struct iov_iter *it, size_t n);
size_t copy_to_iter(struct iov_iter *it, const void *from, size_t n);	/* bytes copied */
size_t copy_from_iter(struct iov_iter *it, void *to, size_t n);
int64_t wait_for_io(struct task_struct *task, int host_fd, short events, uint64_t timeout_ns);
int64_t io_interrupted(struct task_struct *task);	/* state[0] bytes are done */

#define FILE_POSITION (-1)	/* pos: the description's own */
/* An offset in user memory, FILE_POSITION where there is none; and what it is afterwards */
int load_offset(struct task_struct *task, uint64_t user, int64_t *pos);
int store_offset(struct task_struct *task, uint64_t user, int64_t pos);

/* ---- socket.c: SO_TYPE, asked once; SOCK_DGRAM: not a socket */
int sock_type(struct kfile *file);

/* ---- poll.c */
struct pollfd;
int poll_now(struct pollfd *fds, unsigned n);	/* poll(2) without waiting; never EINTR */
/* The signal mask of ppoll and its like; state[2] is its own */
int poll_set_mask(struct task_struct *task, uint64_t user, uint64_t size);

/* ---- epoll.c */
void epoll_release(struct kfile *ep);
void epoll_forget(struct kfile *file);	/* it is gone: no epoll watches it any more */

/* ---- locks.c */
int64_t posix_lock_fcntl(struct task_struct *task, struct kfile *file, int cmd, uint64_t arg);
void locks_remove_posix(struct kfile *file, const void *owner);
void locks_remove_flock(struct kfile *file);	/* host_fd is closed: who waits may try */

/* ---- memfd.c */
int64_t memfd_fcntl(struct kfile *file, int cmd, uint64_t arg);

/* ---- ioctl.c */
int tty_nr_of(struct task_struct *task);
/* A terminal was opened without O_NOCTTY: it may become the controlling one. */
void tty_opened(struct task_struct *task, struct kfile *file);
int64_t tty_check_change(struct task_struct *task, struct kfile *file, int sig);
/* n bytes were written to the master of a pseudo-terminal. */
void tty_typed(struct kernel *k, struct kfile *master, const void *bytes, size_t n);
/* Before the last close of a master. */
void tty_hang_up(struct kfile *master);
int64_t tty_ioctl(struct task_struct *task, struct kfile *file, unsigned cmd, uint64_t arg);

#endif
