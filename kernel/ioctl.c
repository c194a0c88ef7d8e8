/* SPDX-License-Identifier: MIT */
/*
 * ioctl: a table says how large each command's argument is and which way it goes; a command that isn't
 * in it is ENOTTY, because what it would read or write can't be known.
 */
#include <linux/fs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"
#include "task.h"

/* ---- the table */

enum direction { IN = 1, OUT = 2, INOUT = 3, VALUE = 4 };
#define CHANGES_TTY 8		/* a background task is stopped first */
struct command {
	unsigned cmd;
	unsigned char how;
	unsigned short size;
};
#define TERMIOS_SIZE 36		/* the kernel's struct termios, and termios2 */
#define TERMIOS2_SIZE 44

static const struct command commands[] = {
	{ TCGETS, OUT, TERMIOS_SIZE },
	{ TCSETS, IN | CHANGES_TTY, TERMIOS_SIZE },
	{ TCSETSW, IN | CHANGES_TTY, TERMIOS_SIZE },
	{ TCSETSF, IN | CHANGES_TTY, TERMIOS_SIZE },
	{ 0x802c542a /* TCGETS2 */, OUT, TERMIOS2_SIZE },
	{ 0x402c542b /* TCSETS2 */, IN | CHANGES_TTY, TERMIOS2_SIZE },
	{ 0x402c542c /* TCSETSW2 */, IN | CHANGES_TTY, TERMIOS2_SIZE },
	{ 0x402c542d /* TCSETSF2 */, IN | CHANGES_TTY, TERMIOS2_SIZE },
	{ TCGETA, OUT, 18 },
	{ TCSETA, IN | CHANGES_TTY, 18 },
	{ TCSETAW, IN | CHANGES_TTY, 18 },
	{ TCSETAF, IN | CHANGES_TTY, 18 },
	{ TCSBRK, VALUE | CHANGES_TTY, 0 },
	{ TCSBRKP, VALUE | CHANGES_TTY, 0 },
	{ TCXONC, VALUE | CHANGES_TTY, 0 },
	{ TCFLSH, VALUE | CHANGES_TTY, 0 },
	{ TIOCGWINSZ, OUT, sizeof(struct winsize) },
	{ TIOCOUTQ, OUT, 4 },
	{ FIONREAD, OUT, 4 },
	{ TIOCGETD, OUT, 4 },
	{ TIOCSETD, IN, 4 },
	{ TIOCMGET, OUT, 4 },
	{ TIOCMSET, IN, 4 },
	{ TIOCMBIS, IN, 4 },
	{ TIOCMBIC, IN, 4 },
	{ TIOCGSOFTCAR, OUT, 4 },
	{ TIOCEXCL, VALUE, 0 },
	{ TIOCNXCL, VALUE, 0 },
	{ TIOCSTI, IN, 1 },
	{ TIOCPKT, IN, 4 },
	{ TIOCGPKT, OUT, 4 },
	{ TIOCSPTLCK, IN, 4 },
	{ TIOCGPTLCK, OUT, 4 },
	{ TIOCGPTN, OUT, 4 },
	{ TIOCGDEV, OUT, 4 },
	{ TIOCGEXCL, OUT, 4 },
	{ TIOCSIG, VALUE, 0 },
	{ FIOQSIZE, OUT, 8 },
	{ FIGETBSZ, OUT, 4 },
	{ FS_IOC_GETFLAGS, OUT, 4 },
	{ FS_IOC_SETFLAGS, IN, 4 },
	{ FS_IOC_GETVERSION, OUT, 4 },
	{ FS_IOC_FSGETXATTR, OUT, sizeof(struct fsxattr) },
	{ FS_IOC_FSSETXATTR, IN, sizeof(struct fsxattr) },
	{ BLKGETSIZE, OUT, 8 },
	{ BLKGETSIZE64, OUT, 8 },
	{ BLKSSZGET, OUT, 4 },
	{ BLKBSZGET, OUT, 4 },
	{ BLKPBSZGET, OUT, 4 },
	{ BLKROGET, OUT, 4 },
	{ BLKFLSBUF, VALUE, 0 },
	{ SIOCATMARK, OUT, 4 },
	{ SIOCGIFINDEX, INOUT, sizeof(struct ifreq) },
	{ SIOCGIFNAME, INOUT, sizeof(struct ifreq) },
	{ SIOCGIFFLAGS, INOUT, sizeof(struct ifreq) },
	{ SIOCGIFADDR, INOUT, sizeof(struct ifreq) },
	{ SIOCGIFDSTADDR, INOUT, sizeof(struct ifreq) },
	{ SIOCGIFBRDADDR, INOUT, sizeof(struct ifreq) },
	{ SIOCGIFNETMASK, INOUT, sizeof(struct ifreq) },
	{ SIOCGIFHWADDR, INOUT, sizeof(struct ifreq) },
	{ SIOCGIFMETRIC, INOUT, sizeof(struct ifreq) },
	{ SIOCGIFMTU, INOUT, sizeof(struct ifreq) },
	{ SIOCGIFTXQLEN, INOUT, sizeof(struct ifreq) },
	{ 0x80045200 /* RNDGETENTCNT */, OUT, 4 },
};

static int64_t run_command(struct task_struct *task, struct kfile *f, const struct command *c, uint64_t arg)
{
	char buf[256] = { 0 };
	int64_t r;

	if (c->how & CHANGES_TTY && f->kind == KFILE_TTY) {
		r = tty_check_change(task, f, SIGTTOU);
		if (r)
			return r;
	}
	if (c->how & VALUE)
		return host_ret(ioctl(f->host_fd, c->cmd, arg));
	if (c->how & IN && copy_from_user(task, buf, arg, c->size))
		return -EFAULT;
	r = host_ret(ioctl(f->host_fd, c->cmd, buf));
	if (r >= 0 && c->how & OUT && copy_to_user(task, arg, buf, c->size))
		return -EFAULT;
	return r;
}

/* ---- those of every file, and those with more inside */

static int64_t set_nonblock(struct task_struct *task, struct kfile *f, uint64_t arg)
{
	int on;

	if (copy_from_user(task, &on, arg, sizeof(on)))
		return -EFAULT;
	f->nonblock = on;
	return 0;
}

static int64_t clone_range(struct task_struct *task, struct kfile *f, unsigned cmd, uint64_t arg)
{
	struct file_clone_range range = { .src_fd = (int)arg };
	struct kfile *src;
	int64_t r;

	if (cmd == FICLONERANGE && copy_from_user(task, &range, arg, sizeof(range)))
		return -EFAULT;
	src = fcheck(task, (int)range.src_fd);
	if (!src)
		return -EBADF;
	if (src->ops || f->ops || (src->inode && src->inode->shmem) || (f->inode && f->inode->shmem))
		return -EOPNOTSUPP;
	if (src->inode)
		inode_sync(src->inode);
	range.src_fd = src->host_fd;
	r = host_ret(cmd == FICLONE ? ioctl(f->host_fd, cmd, src->host_fd) : ioctl(f->host_fd, cmd, &range));
	if (!r)
		inode_written(f->inode, f->host_fd, 0, NULL, 1);
	return r;
}

/* The list of interfaces goes where a pointer in the argument points. */
static int64_t interface_list(struct task_struct *task, struct kfile *f, uint64_t arg)
{
	struct { int len; uint64_t buf; } guest;
	struct ifconf host;

	if (copy_from_user(task, &guest, arg, sizeof(guest)))
		return -EFAULT;
	host.ifc_len = guest.buf && guest.len < BOUNCE_SIZE ? guest.len : BOUNCE_SIZE;
	host.ifc_buf = guest.buf ? bounce : NULL;
	if (ioctl(f->host_fd, SIOCGIFCONF, &host) < 0)
		return -errno;
	guest.len = host.ifc_len;
	if ((guest.buf && copy_to_user(task, guest.buf, bounce, host.ifc_len)) ||
	    copy_to_user(task, arg, &guest, sizeof(guest)))
		return -EFAULT;
	return 0;
}

static int64_t file_ioctl(struct task_struct *task, struct kfile *f, int fd, unsigned cmd, uint64_t arg)
{
	switch (cmd) {
	case FIOCLEX:
	case FIONCLEX:
		return sys_fcntl(task, &(struct sys_args){
			.a = { fd, F_SETFD, cmd == FIOCLEX ? FD_CLOEXEC : 0 } });
	case FIONBIO:
		return set_nonblock(task, f, arg);
	case FICLONE:
	case FICLONERANGE:
		return clone_range(task, f, cmd, arg);
	case SIOCGIFCONF:
		return interface_list(task, f, arg);
	}
	return -ENOIOCTLCMD;
}

SYSCALL(ioctl)
{
	int fd = args->a[0];
	unsigned cmd = args->a[1];
	struct kfile *f = fcheck(task, fd);
	int64_t r;

	if (!f || f->path_only)
		return -EBADF;
	r = file_ioctl(task, f, fd, cmd, args->a[2]);
	if (r == -ENOIOCTLCMD && f->ops && f->ops->ioctl)
		r = f->ops->ioctl(f, task, cmd, args->a[2]);
	if (r == -ENOIOCTLCMD && f->kind == KFILE_TTY)
		r = tty_ioctl(task, f, cmd, args->a[2]);
	if (r != -ENOIOCTLCMD)
		return r;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (commands[i].cmd == cmd)
			return run_command(task, f, &commands[i], args->a[2]);
	return -ENOTTY;
}
