/* SPDX-License-Identifier: MIT */
/*
 * Controlling terminals. The terminals themselves are the host's, with their modes, echo and editing;
 * sessions and foreground groups are the guests' own, since the host sees one process. So for a
 * pseudo-terminal that a guest made, the host has nobody to signal, and we do:
 *
 *	typed into the master		VINTR, VQUIT, VSUSP	the foreground group: INT, QUIT, TSTP
 *	its size changes		TIOCSWINSZ		the foreground group: WINCH
 *	the master's last close		hangup			the session's leader: HUP, CONT
 *	the leader ends, or gives up	disassociation		the foreground group: HUP (and CONT)
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"
#include "task.h"

struct tty {
	struct tty *next;
	struct kernel *kernel;
	unsigned dev;		/* TIOCGDEV: /dev/tty and its true name are the same */
	int sid, pgrp;
	bool outside;		/* the one we were started on: the host's signals reach us, and are passed on */
	bool hung_up;		/* nobody's any more; kept for what its session's leader leaves behind */
	bool literal;		/* the next character typed is none of the special ones */
};
static struct tty *ttys;

static unsigned tty_dev(int fd)
{
	unsigned dev;

	return ioctl(fd, TIOCGDEV, &dev) < 0 ? 0 : dev;
}

static struct tty *tty_add(struct kernel *k, unsigned dev, int sid, int pgrp)
{
	struct tty *t = malloc(sizeof(*t));

	if (!t)
		return NULL;
	*t = (struct tty){ .next = ttys, .kernel = k, .dev = dev, .sid = sid, .pgrp = pgrp };
	ttys = t;
	return t;
}

static void tty_remove(struct tty *t)
{
	struct tty **p = &ttys;

	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
	free(t);
}

/* The first task's session has the terminal that we were started on. */
static void tty_adopt(struct kernel *k)
{
	static bool done;
	struct tty *t;
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
	t = dev ? tty_add(k, dev, k->init->signal->sid, k->init->signal->pgid) : NULL;
	if (t)
		t->outside = true;
}

static struct tty *tty_of_session(struct kernel *k, int sid)
{
	struct tty *t;

	tty_adopt(k);
	for (t = ttys; t && (t->sid != sid || t->hung_up); t = t->next)
		;
	return t;
}

static struct tty *tty_by_dev(unsigned dev)
{
	struct tty *t;

	for (t = ttys; t && (t->dev != dev || t->hung_up); t = t->next)
		;
	return t;
}

static struct tty *tty_of_file(struct kernel *k, struct kfile *f)
{
	tty_adopt(k);
	return tty_by_dev(tty_dev(f->host_fd));
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

void tty_opened(struct task_struct *task, struct kfile *f)
{
	if (!is_session_leader(task) || f->pty_master || tty_of_session(task->kernel, task->signal->sid) ||
	    tty_of_file(task->kernel, f))
		return;
	tty_add(task->kernel, tty_dev(f->host_fd), task->signal->sid, task->signal->pgid);
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
	return tty_add(task->kernel, tty_dev(f->host_fd), task->signal->sid, task->signal->pgid) ? 0 : -ENOMEM;
}

static int64_t tty_give_up(struct task_struct *task, struct kfile *f)
{
	struct tty *t = tty_of_file(task->kernel, f);

	if (!t || t->sid != task->signal->sid)
		return -ENOTTY;
	if (!is_session_leader(task))
		return 0;
	kill_pgrp(task->kernel, t->pgrp, SIGHUP, NULL);
	kill_pgrp(task->kernel, t->pgrp, SIGCONT, NULL);
	tty_remove(t);
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

	if (!t || (t->sid != task->signal->sid && !f->pty_master))
		return -ENOTTY;
	return copy_to_user(task, user, sid ? &t->sid : &t->pgrp, sizeof(int)) ? -EFAULT : 0;
}

/* ---- signals */

void tty_leader_exits(struct task_struct *leader)
{
	struct tty *t, *next;

	for (t = ttys; t; t = next) {
		next = t->next;
		if (t->sid != leader->signal->sid || t->outside)
			continue;
		kill_pgrp(leader->kernel, t->pgrp, SIGHUP, NULL);
		if (t->hung_up)
			kill_pgrp(leader->kernel, t->pgrp, SIGCONT, NULL);
		tty_remove(t);
	}
}

void tty_hang_up(struct kfile *master)
{
	struct tty *t = tty_by_dev(tty_dev(master->host_fd));
	struct task_struct *leader = t ? find_task(t->kernel, t->sid) : NULL;

	if (!t || t->outside)
		return;
	t->hung_up = true;
	if (!leader)
		return;
	send_signal(leader, SIGHUP, NULL, true);
	send_signal(leader, SIGCONT, NULL, true);
}

/* 0: an ordinary character. */
static int signal_of(struct tty *t, const struct termios *modes, unsigned char c)
{
	if (t->literal) {
		t->literal = false;
		return 0;
	}
	if (c == _POSIX_VDISABLE)
		return 0;
	if (c == modes->c_cc[VINTR])
		return SIGINT;
	if (c == modes->c_cc[VQUIT])
		return SIGQUIT;
	if (c == modes->c_cc[VSUSP])
		return SIGTSTP;
	t->literal = modes->c_lflag & ICANON && modes->c_lflag & IEXTEN && c == modes->c_cc[VLNEXT];
	return 0;
}

/* The host has echoed the characters and taken the special ones out: what is left is the signal. */
void tty_typed(struct kernel *k, struct kfile *master, const void *bytes, size_t n)
{
	struct tty *t = tty_of_file(k, master);
	struct termios modes;

	if (!t || t->outside || tcgetattr(master->host_fd, &modes) || !(modes.c_lflag & ISIG))
		return;
	for (size_t i = 0; i < n; i++) {
		int sig = signal_of(t, &modes, ((const unsigned char *)bytes)[i]);

		if (sig)
			kill_pgrp(k, t->pgrp, sig, NULL);
	}
}

static int tty_resize(struct kernel *k, struct kfile *f, const struct winsize *size)
{
	struct tty *t = tty_of_file(k, f);
	struct winsize before;

	if (ioctl(f->host_fd, TIOCGWINSZ, &before) || ioctl(f->host_fd, TIOCSWINSZ, size))
		return -errno;
	if (t && !t->outside && memcmp(&before, size, sizeof(before)))
		kill_pgrp(k, t->pgrp, SIGWINCH, NULL);
	return 0;
}

/* ---- ioctl */

int64_t tty_ioctl(struct task_struct *task, struct kfile *f, unsigned cmd, uint64_t arg)
{
	struct winsize size;

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
	case TIOCSWINSZ:
		return copy_from_user(task, &size, arg, sizeof(size)) ? -EFAULT : tty_resize(task->kernel, f, &size);
	case TIOCGPTPEER:
		return fd_install_host(task, ioctl(f->host_fd, cmd, (int)arg | O_NOCTTY | O_NONBLOCK | O_CLOEXEC),
				       arg & O_NONBLOCK, arg & O_CLOEXEC);
	}
	return -ENOIOCTLCMD;
}
