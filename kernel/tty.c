/* SPDX-License-Identifier: MIT */
/*
 * Controlling terminals. The terminals themselves are the host's, with their modes, echo and editing;
 * sessions and foreground groups are the guests' own, since the host sees one process.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"
#include "task.h"

struct tty {
	struct tty *next;
	unsigned dev;		/* TIOCGDEV: /dev/tty and its true name are the same */
	int sid, pgrp;
};
static struct tty *ttys;

static unsigned tty_dev(int fd)
{
	unsigned dev;

	return ioctl(fd, TIOCGDEV, &dev) < 0 ? 0 : dev;
}

static struct tty *tty_add(unsigned dev, int sid, int pgrp)
{
	struct tty *t = malloc(sizeof(*t));

	if (!t)
		return NULL;
	*t = (struct tty){ ttys, dev, sid, pgrp };
	ttys = t;
	return t;
}

/* The first task's session has the terminal that we were started on. */
static void tty_adopt(struct kernel *k)
{
	static bool done;
	unsigned dev;
	int fd;

	if (done || !k->init)
		return;
	done = true;
	fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	dev = tty_dev(fd);
	close(fd);
	if (dev)
		tty_add(dev, k->init->signal->sid, k->init->signal->pgid);
}

static struct tty *tty_of_session(struct kernel *k, int sid)
{
	struct tty *t;

	tty_adopt(k);
	for (t = ttys; t && t->sid != sid; t = t->next)
		;
	return t;
}

static struct tty *tty_of_file(struct kernel *k, struct kfile *f)
{
	unsigned dev = tty_dev(f->host_fd);
	struct tty *t;

	tty_adopt(k);
	for (t = ttys; t && t->dev != dev; t = t->next)
		;
	return t;
}

int tty_foreground_pgrp(struct kernel *k)
{
	struct tty *t = k->init ? tty_of_session(k, k->init->signal->sid) : NULL;

	return t ? t->pgrp : 0;
}

/* What /proc/PID/stat shows; 0: no controlling terminal. */
int tty_nr_of(struct task_struct *task)
{
	struct tty *t = tty_of_session(task->kernel, task->signal->sid);

	return t ? (int)t->dev : 0;
}

static bool is_session_leader(struct task_struct *task)
{
	return task->signal->sid == task->tgid;
}

static bool is_pty_master(struct kfile *f)
{
	unsigned n;

	return ioctl(f->host_fd, TIOCGPTN, &n) == 0;
}

void tty_opened(struct task_struct *task, struct kfile *f)
{
	if (!is_session_leader(task) || is_pty_master(f) || tty_of_session(task->kernel, task->signal->sid) ||
	    tty_of_file(task->kernel, f))
		return;
	tty_add(tty_dev(f->host_fd), task->signal->sid, task->signal->pgid);
}

static int64_t tty_set_controlling(struct task_struct *task, struct kfile *f, int steal)
{
	struct tty *t = tty_of_file(task->kernel, f);

	if (t && t->sid == task->signal->sid)
		return 0;
	if (!is_session_leader(task) || tty_of_session(task->kernel, task->signal->sid))
		return -EPERM;
	if (t && !(steal == 1 && geteuid() == 0))
		return -EPERM;
	if (t) {
		t->sid = task->signal->sid;
		t->pgrp = task->signal->pgid;
		return 0;
	}
	return tty_add(tty_dev(f->host_fd), task->signal->sid, task->signal->pgid) ? 0 : -ENOMEM;
}

static int64_t tty_give_up(struct task_struct *task, struct kfile *f)
{
	struct tty *t = tty_of_file(task->kernel, f), **p = &ttys;

	if (!t || t->sid != task->signal->sid)
		return -ENOTTY;
	if (!is_session_leader(task))
		return 0;
	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
	free(t);
	return 0;
}

static bool pgrp_in_session(struct kernel *k, int pgrp, int sid)
{
	struct task_struct *t;

	list_for_each_entry(t, &k->tasks, tasks)
		if (is_leader(t) && t->signal->pgid == pgrp && t->signal->sid == sid)
			return true;
	return false;
}

/*
 * A task of a background group does what only the foreground may (SIGTTOU, SIGTTIN): 0: go on; else
 * the group was signalled and the call starts again after that, or -EIO.
 */
int64_t tty_check_change(struct task_struct *task, struct kfile *f, int sig)
{
	struct tty *t = tty_of_file(task->kernel, f);
	bool deaf = task->blocked & 1ull << (sig - 1) || task->sighand->action[sig].handler == 1;

	if (!t || t->sid != task->signal->sid || t->pgrp == task->signal->pgid)
		return 0;
	if (deaf)
		return sig == SIGTTIN ? -EIO : 0;
	kill_pgrp(task->kernel, task->signal->pgid, sig, NULL);
	return -ERESTART_WAIT;
}

static int64_t tty_set_pgrp(struct task_struct *task, struct kfile *f, uint64_t user)
{
	struct tty *t = tty_of_file(task->kernel, f);
	int64_t r;
	int pgrp;

	if (!t || t->sid != task->signal->sid)
		return -ENOTTY;
	r = tty_check_change(task, f, SIGTTOU);
	if (r)
		return r;
	if (copy_from_user(task, &pgrp, user, sizeof(pgrp)))
		return -EFAULT;
	if (pgrp < 0)
		return -EINVAL;
	if (!pgrp_in_session(task->kernel, pgrp, t->sid))
		return -EPERM;
	t->pgrp = pgrp;
	return 0;
}

static int64_t tty_get(struct task_struct *task, struct kfile *f, uint64_t user, bool sid)
{
	struct tty *t = tty_of_file(task->kernel, f);

	if (!t || (t->sid != task->signal->sid && !is_pty_master(f)))
		return -ENOTTY;
	return copy_to_user(task, user, sid ? &t->sid : &t->pgrp, sizeof(int)) ? -EFAULT : 0;
}

int64_t tty_ioctl(struct task_struct *task, struct kfile *f, unsigned cmd, uint64_t arg)
{
	switch (cmd) {
	case TIOCGPGRP:
		return tty_get(task, f, arg, false);
	case TIOCGSID:
		return tty_get(task, f, arg, true);
	case TIOCSPGRP:
		return tty_set_pgrp(task, f, arg);
	case TIOCSCTTY:
		return tty_set_controlling(task, f, (int)arg);
	case TIOCNOTTY:
		return tty_give_up(task, f);
	case TIOCGPTPEER:
		return fd_install_host(task, ioctl(f->host_fd, cmd, (int)arg | O_NOCTTY | O_NONBLOCK | O_CLOEXEC),
				       arg & O_NONBLOCK, arg & O_CLOEXEC);
	}
	return -ENOIOCTLCMD;
}
