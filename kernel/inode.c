/* SPDX-License-Identifier: MIT */
/*
 * Host files as the address spaces see them: one mapping per (st_dev, st_ino).
 *
 * Made when a file is first mapped, and kept while it is clean and the file unchanged, so that the
 * next exec of the same program finds its pages. Who agrees with whom:
 *
 *   - As long as nobody can dirty pages (no writable file is mapped), the host's file is the truth:
 *     reads and writes are host calls. A write is told to the mapping afterwards, so that pages that
 *     are mapped privately show it as they do in Linux.
 *   - While a writable file is mapped, the mapping is the truth: reads go through it. Writes go to the
 *     host first (who knows about space, limits and O_APPEND) and then into the mapping.
 *   - What the host's world outside changes is noticed by size and times at each open and mmap.
 *
 * The aspace files' release callback may come with locks of the library held. It therefore only
 * counts; the work is done at the next call that gets an inode.
 */
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kfile.h"

#define HASH_SIZE 1024
#define MAX_IDLE 192		/* cached files nobody uses: each holds a host fd and its pages */

static struct inode *hash[HASH_SIZE];
static struct list_head *inodes;	/* kernel->inodes */
static unsigned nr_idle;
static bool reap_wanted;

static unsigned hash_of(dev_t dev, ino_t ino)
{
	return (ino * 31 + dev) % HASH_SIZE;
}

struct inode *inode_find(dev_t dev, ino_t ino)
{
	struct inode *inode = hash[hash_of(dev, ino)];

	while (inode && (inode->ino != ino || inode->dev != dev))
		inode = inode->hash_next;
	return inode;
}

static void unhash(struct inode *inode)
{
	struct inode **p = &hash[hash_of(inode->dev, inode->ino)];

	while (*p != inode)
		p = &(*p)->hash_next;
	*p = inode->hash_next;
}

static void inode_free(struct inode *inode)
{
	if (inode->fd >= 0)
		close(inode->fd);
	free(inode);
}

static void set_idle(struct inode *inode, bool idle)
{
	if (inode->idle == idle)
		return;
	inode->idle = idle;
	nr_idle += idle ? 1 : -1;
	list_del(&inode->link);
	list_add_tail(&inode->link, inodes);
}

/* Nobody uses it: forget it. The mapping may live on in the library for a moment, see mapping_release. */
static void inode_dispose(struct inode *inode)
{
	struct aspace_mapping *mapping = inode->mapping;
	bool alive = inode->mapping_alive;

	set_idle(inode, false);
	unhash(inode);
	list_del(&inode->link);
	inode->mapping = NULL;
	if (mapping)
		aspace_mapping_put(mapping);
	if (!alive)
		inode_free(inode);
}

static bool worth_keeping(struct inode *inode)
{
	struct stat st;

	return inode->mapping && !inode->shmem && !fstat(inode->fd, &st) && st.st_nlink;
}

static void inodes_reap(unsigned keep)
{
	struct list_head *p, *next;

	reap_wanted = false;
	for (p = inodes->next; p != inodes; p = next) {
		struct inode *inode = container_of(p, struct inode, link);

		next = p->next;
		if (inode->idle && (nr_idle > keep || !worth_keeping(inode)))
			inode_dispose(inode);
	}
}

void inodes_shrink(struct kernel *k)
{
	if (inodes)
		inodes_reap(0);
}

/* A new description, so that neither its position nor its flock(2) is the guest's. */
static int reopen(int host_fd, int flags)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", host_fd);
	return open(path, flags | O_CLOEXEC);
}

static void note_seen(struct inode *inode, const struct stat *st)
{
	inode->size = st->st_size;
	inode->mtime = st->st_mtim;
	inode->ctime = st->st_ctim;
}

static void look_again(struct inode *inode)
{
	struct stat st;

	if (inode->fd >= 0 && !fstat(inode->fd, &st))
		note_seen(inode, &st);
}

struct inode *inode_get(struct kernel *k, int host_fd, const struct stat *st)
{
	struct inode *inode;

	if (!inodes) {
		inodes = &k->inodes;
		if (!inodes->next)
			INIT_LIST_HEAD(inodes);
	}
	if (reap_wanted)
		inodes_reap(MAX_IDLE);
	inode = inode_find(st->st_dev, st->st_ino);
	if (inode) {
		set_idle(inode, false);
		inode->users++;
		inode_revalidate(inode);
		return inode;
	}
	inode = calloc(1, sizeof(*inode));
	if (!inode)
		return NULL;
	inode->users = 1;
	inode->fd = -1;
	inode->dev = st->st_dev;
	inode->ino = st->st_ino;
	wait_queue_init(&inode->lock_wait);
	inode->hash_next = hash[hash_of(inode->dev, inode->ino)];
	hash[hash_of(inode->dev, inode->ino)] = inode;
	list_add_tail(&inode->link, inodes);
	return inode;
}

void inode_put(struct inode *inode)
{
	if (--inode->users)
		return;
	if (!inode->mapping) {
		inode_dispose(inode);
		return;
	}
	set_idle(inode, true);
	reap_wanted = true;
}

void inode_unlinked(const struct stat *st)
{
	struct inode *inode = nr_idle ? inode_find(st->st_dev, st->st_ino) : NULL;

	if (inode && inode->idle && !worth_keeping(inode))
		inode_dispose(inode);
}

/* ---- the mapping */

static int64_t mapping_read(void *priv, uint64_t offset, void *buffer, size_t n)
{
	struct inode *inode = priv;
	size_t done = 0;

	while (done < n) {
		ssize_t r = pread(inode->fd, (char *)buffer + done, n - done, offset + done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return done ? (int64_t)done : -errno;
		if (!r)
			break;
		done += r;
	}
	return done;
}

static int64_t mapping_write(void *priv, uint64_t offset, const void *buffer, size_t n)
{
	struct inode *inode = priv;
	size_t done = 0;

	while (done < n) {
		ssize_t r = pwrite(inode->fd, (const char *)buffer + done, n - done, offset + done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		done += r;
	}
	look_again(inode);
	return done;
}

/* Comes from inode_dispose's put, or later when the last area lets go of it. */
static void mapping_release(void *priv)
{
	struct inode *inode = priv;

	inode->mapping_alive = false;
	if (!inode->mapping)
		inode_free(inode);
}

static const struct aspace_mapping_ops file_mapping_ops = {
	.size = sizeof(struct aspace_mapping_ops),
	.read = mapping_read,
	.write = mapping_write,
	.release = mapping_release,
};

static bool on_noexec(int fd)
{
	struct statvfs vfs;

	return !fstatvfs(fd, &vfs) && vfs.f_flag & ST_NOEXEC;
}

/* Of the file systems that are common on hosts, these place large mappings for huge pages. */
static bool aligns_for_huge_pages(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC ||
				     fs.f_type == BTRFS_SUPER_MAGIC);
}

static int make_mapping(struct kernel *k, struct inode *inode, const struct stat *st, bool sealable)
{
	struct aspace_mapping_options o = {
		.size = sizeof(o),
		.ops = inode->shmem ? NULL : &file_mapping_ops,
		.priv = inode,
		.bytes = st->st_size,
		.dev_major = major(st->st_dev),
		.dev_minor = minor(st->st_dev),
		.ino = st->st_ino,
		.noexec = !inode->shmem && on_noexec(inode->fd),
		.sealable = sealable,
		.no_huge_align = !inode->shmem && !aligns_for_huge_pages(inode->fd),
	};
	int err = aspace_mapping_create(k->machine, &o, &inode->mapping);

	if (!err) {
		inode->mapping_alive = !inode->shmem;
		note_seen(inode, st);
	}
	return err;
}

int inode_make_shmem(struct kernel *k, struct inode *inode, int host_fd, bool sealable)
{
	struct stat st;

	if (fstat(host_fd, &st) < 0)
		return -errno;
	inode->shmem = true;
	return make_mapping(k, inode, &st, sealable);
}

/* inode->fd exists, and is writable if the file is: what its pages are written back to. */
static int provide_fd(struct inode *inode, struct kfile *f)
{
	bool writable = f->accmode == O_RDWR;
	int fd;

	if (inode->fd >= 0 && (inode->fd_writable || !writable))
		return 0;
	fd = reopen(f->host_fd, writable ? O_RDWR : O_RDONLY);
	if (fd < 0)
		return -errno;
	if (inode->fd >= 0)
		close(inode->fd);
	inode->fd = fd;
	inode->fd_writable = writable;
	return 0;
}

struct mapped_file {		/* priv of an aspace_file */
	struct inode *inode;	/* NULL: /dev/zero */
	bool writable;
	char path[];		/* when it was opened */
};

static int link_of(int fd, char *buf, size_t n)
{
	char path[40];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = readlink(path, buf, n - 1);
	if (len < 0)
		return -errno;
	buf[len] = 0;
	return 0;
}

/* Follows renames; a file known by several names keeps the one it was opened by. */
static int mapped_path(void *priv, char *buffer, size_t n)
{
	struct mapped_file *mf = priv;
	struct stat st;

	if (!mf->inode || mf->inode->fd < 0 || fstat(mf->inode->fd, &st) < 0 || st.st_nlink > 1)
		return -ENOENT;
	return link_of(mf->inode->fd, buffer, n);
}

/* Locks of the library may be held: only count, see the head comment. */
static void mapped_release(void *priv)
{
	struct mapped_file *mf = priv;
	struct inode *inode = mf->inode;

	if (inode && mf->writable && --inode->writable_files == 0)
		inode->must_sync = true;
	if (inode && --inode->users == 0) {
		set_idle(inode, true);
		reap_wanted = true;
	}
	free(mf);
}

static struct aspace_file *open_mapped(struct kfile *f, struct aspace_mapping *mapping,
				       struct inode *inode)
{
	char path[PATH_MAX];
	struct mapped_file *mf;
	struct aspace_file *file;
	struct aspace_file_options o = {
		.size = sizeof(o),
		.readable = f->accmode != O_WRONLY,
		.writable = f->accmode != O_RDONLY,
		.path = path,
		.path_of = mapped_path,
		.release = mapped_release,
	};

	if (link_of(f->host_fd, path, sizeof(path)))
		path[0] = 0;
	mf = malloc(sizeof(*mf) + 1);
	if (!mf)
		return NULL;
	mf->inode = inode;
	mf->writable = f->accmode == O_RDWR;
	o.priv = mf;
	if (aspace_file_open(mapping, &o, &file)) {
		free(mf);
		return NULL;
	}
	if (inode) {
		inode->users++;
		inode->writable_files += mf->writable;
	}
	return file;
}

int mapped_host_fd(struct aspace_file *file)
{
	struct mapped_file *mf = aspace_file_priv(file);

	return mf && mf->inode ? mf->inode->fd : -1;
}

/* Each mapping of /dev/zero is memory of its own. */
static struct aspace_file *map_dev_zero(struct kernel *k, struct kfile *f, const struct stat *st)
{
	struct aspace_mapping_options o = {
		.size = sizeof(o),
		.bytes = 1ull << 46,
		.dev_major = major(st->st_dev),
		.dev_minor = minor(st->st_dev),
		.ino = st->st_ino,
	};
	struct aspace_mapping *mapping;
	struct aspace_file *file;

	if (aspace_mapping_create(k->machine, &o, &mapping))
		return NULL;
	file = open_mapped(f, mapping, NULL);
	aspace_mapping_put(mapping);
	return file;
}

struct aspace_file *kfile_aspace(struct kernel *k, struct kfile *f)
{
	struct inode *inode = f->inode;
	struct stat st;

	if (f->path_only || f->ops || fstat(f->host_fd, &st) < 0)
		return NULL;
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 5))
		return map_dev_zero(k, f, &st);
	if (!inode)
		return NULL;
	if (!inode->shmem && provide_fd(inode, f))
		return NULL;
	if (!inode->mapping) {
		if (make_mapping(k, inode, &st, false))
			return NULL;
	} else {
		inode_revalidate(inode);
	}
	if (!f->aspace)
		f->aspace = open_mapped(f, inode->mapping, inode);
	return f->aspace ? aspace_file_get(f->aspace) : NULL;
}

/* ---- coherence */

void inode_sync(struct inode *inode)
{
	inode->must_sync = false;
	if (!inode->mapping || inode->shmem)
		return;
	aspace_mapping_sync(inode->mapping, 0, UINT64_MAX);
	look_again(inode);
}

bool inode_through_cache(struct inode *inode)
{
	if (!inode || !inode->mapping)
		return false;
	if (inode->shmem || inode->writable_files)
		return true;
	if (inode->must_sync)
		inode_sync(inode);
	return false;
}

void inode_revalidate(struct inode *inode)
{
	struct stat st;

	if (!inode->mapping || inode->shmem || inode->fd < 0 || fstat(inode->fd, &st) < 0)
		return;
	if (st.st_size == inode->size && st.st_mtim.tv_sec == inode->mtime.tv_sec &&
	    st.st_mtim.tv_nsec == inode->mtime.tv_nsec && st.st_ctim.tv_sec == inode->ctime.tv_sec &&
	    st.st_ctim.tv_nsec == inode->ctime.tv_nsec)
		return;
	if (inode->writable_files || inode->must_sync)
		inode_sync(inode);
	if (st.st_size != inode->size)
		aspace_mapping_truncate(inode->mapping, st.st_size);
	if (st.st_size != inode->size || st.st_mtim.tv_sec != inode->mtime.tv_sec ||
	    st.st_mtim.tv_nsec != inode->mtime.tv_nsec)
		aspace_mapping_invalidate(inode->mapping, true);
	look_again(inode);
}

void inode_written(struct inode *inode, int host_fd, uint64_t offset, const void *data, size_t n)
{
	struct stat st;

	if (!inode || !inode->mapping)
		return;
	if (!inode->shmem && fstat(host_fd, &st) == 0) {
		if ((uint64_t)st.st_size > aspace_mapping_bytes(inode->mapping))
			aspace_mapping_truncate(inode->mapping, st.st_size);
		note_seen(inode, &st);
	}
	if (!aspace_mapping_pages(inode->mapping))
		return;
	if (data)
		aspace_mapping_write(inode->mapping, offset, data, n);
	else
		aspace_mapping_invalidate(inode->mapping, true);
}

void inode_truncated(struct inode *inode, uint64_t bytes)
{
	if (!inode || !inode->mapping)
		return;
	aspace_mapping_truncate(inode->mapping, bytes);
	look_again(inode);
}

void inodes_sync(struct kernel *k)
{
	struct list_head *p;

	if (!inodes)
		return;
	for (p = inodes->next; p != inodes; p = p->next)
		inode_sync(container_of(p, struct inode, link));
}

/* After the last task: whoever still has users here leaked a reference. */
void inodes_destroy(struct kernel *k)
{
	if (inodes)
		inodes_reap(0);
	inodes = NULL;
}
