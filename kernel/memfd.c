/* SPDX-License-Identifier: MIT */
/*
 * memfd_create: memory of the machine under a file descriptor.
 *
 * The contents are an aspace mapping without a file behind it. A host memfd of the same length, never
 * written, lends its identity: number, times, position, and a name in /proc.
 */
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u
#define MFD_EXEC 0x0010u
#endif

#define NAME_LIMIT 249

SYSCALL(memfd_create)
{
	unsigned flags = args->a[1];
	char name[NAME_LIMIT + 1];
	int64_t n = aspace_strncpy_from_user(task->mm, name, args->a[0], sizeof(name));
	struct kfile *f;
	int fd, err;

	if (flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC) ||
	    (flags & MFD_NOEXEC_SEAL && flags & MFD_EXEC))
		return -EINVAL;		/* huge pages too: the machine has no pool of them */
	if (n < 0)
		return n;
	if (n >= (int64_t)sizeof(name))
		return -EINVAL;
	fd = memfd_create(name, MFD_CLOEXEC | (flags & (MFD_NOEXEC_SEAL | MFD_EXEC)));
	if (fd < 0)
		return -errno;
	f = kfile_from_host(task->kernel, fd, false);
	if (!f)
		return -ENOMEM;
	err = inode_make_shmem(task->kernel, f->inode, fd, flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL));
	if (!err && flags & MFD_NOEXEC_SEAL)
		err = aspace_mapping_add_seals(f->inode->mapping, ASPACE_F_SEAL_EXEC);
	if (err) {
		kfile_put(f);
		return err;
	}
	return fd_install(task, f, flags & MFD_CLOEXEC, 0);
}

int64_t memfd_fcntl(struct kfile *f, int cmd, uint64_t arg)
{
	int seals;

	if (!f->inode || !f->inode->shmem)
		return -EINVAL;
	seals = aspace_mapping_get_seals(f->inode->mapping);
	if (seals < 0)
		seals = ASPACE_F_SEAL_SEAL;	/* one that may not be sealed is sealed against that */
	if (cmd == F_GET_SEALS)
		return seals;
	if (f->accmode == O_RDONLY || seals & ASPACE_F_SEAL_SEAL)
		return -EPERM;
	return aspace_mapping_add_seals(f->inode->mapping, (unsigned)arg);
}
