/* SPDX-License-Identifier: MIT */
/*
 * Sockets: the host's, which never block. What is ours:
 *
 *  - waiting, with SO_RCVTIMEO and SO_SNDTIMEO;
 *  - descriptors in messages (SCM_RIGHTS): the message carries host descriptors; what they are to the
 *    guests is remembered while it is under way, and found again by asking the host whether two
 *    descriptors are one description;
 *  - relative names of local sockets, which start at the guest's directory.
 */
#include <linux/filter.h>
#include <linux/kcmp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "kfile.h"
#include "syscalls_fs.h"

#define MAX_CONTROL (64 << 10)
#define MAX_OPTION (64 << 10)
#define MAX_MESSAGES 1024

static struct kfile *sock_of(struct task_struct *task, int fd, int *err)
{
	struct kfile *f = fcheck(task, fd);

	*err = !f || f->path_only ? -EBADF : f->kind != KFILE_SOCKET ? -ENOTSOCK : 0;
	return f;
}

/* ---- making */

SYSCALL(socket)
{
	int type = args->a[1], fd;

	if ((type & ~0xf) & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	fd = socket((int)args->a[0], (type & 0xf) | SOCK_NONBLOCK | SOCK_CLOEXEC, (int)args->a[2]);
	return fd_install_host(task, fd, type & SOCK_NONBLOCK, type & SOCK_CLOEXEC);
}

SYSCALL(socketpair)
{
	int type = args->a[1], host[2], fd[2];

	if ((type & ~0xf) & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	if (socketpair((int)args->a[0], (type & 0xf) | SOCK_NONBLOCK | SOCK_CLOEXEC, (int)args->a[2], host) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		fd[i] = fd_install_host(task, host[i], type & SOCK_NONBLOCK, type & SOCK_CLOEXEC);
		if (fd[i] < 0) {
			if (i)
				fd_close(task, fd[0]);
			else
				close(host[1]);
			return fd[i];
		}
		fcheck(task, fd[i])->peer_pid = task->tgid;
	}
	if (copy_to_user(task, args->a[3], fd, sizeof(fd))) {
		fd_close(task, fd[0]);
		fd_close(task, fd[1]);
		return -EFAULT;
	}
	return 0;
}

/* ---- addresses */

struct sock_addr {
	struct sockaddr_storage ss;
	socklen_t len;
};

static int addr_from_user(struct task_struct *task, uint64_t user, int len, struct sock_addr *a)
{
	if (len < 0 || len > (int)sizeof(a->ss))
		return -EINVAL;
	a->len = len;
	memset(&a->ss, 0, sizeof(a->ss));
	return len && copy_from_user(task, &a->ss, user, len) ? -EFAULT : 0;
}

static int addr_to_user(struct task_struct *task, const struct sock_addr *a, uint64_t user, uint64_t user_len)
{
	int room;

	if (!user)
		return 0;
	if (copy_from_user(task, &room, user_len, sizeof(room)))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	if (room > (int)a->len)
		room = a->len;
	if (copy_to_user(task, user, &a->ss, room) || copy_to_user(task, user_len, &a->len, sizeof(a->len)))
		return -EFAULT;
	return 0;
}

/* A host call with an address, from the directory that its name is relative to. */
static int with_addr(struct task_struct *task, int (*call)(int, const struct sockaddr *, socklen_t), int fd,
		     const struct sock_addr *a)
{
	const struct sockaddr_un *un = (const void *)&a->ss;
	bool relative = a->ss.ss_family == AF_UNIX && a->len > offsetof(struct sockaddr_un, sun_path) &&
			un->sun_path[0] && un->sun_path[0] != '/';
	int home = -1, r;

	if (relative) {
		home = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fchdir(task->fs->cwd_fd) < 0)
			relative = false;
	}
	r = host_ret(call(fd, (const struct sockaddr *)&a->ss, a->len));
	if (relative && fchdir(home) < 0)
		r = -EIO;
	if (home >= 0)
		close(home);
	return r;
}

static int raw_bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	return bind(fd, sa, len);
}

static int raw_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	return connect(fd, sa, len);
}

/* The name of a local socket is made with the guest's umask. */
SYSCALL(bind)
{
	struct sock_addr a;
	int err;
	struct kfile *f = sock_of(task, (int)args->a[0], &err);

	if (!err)
		err = addr_from_user(task, args->a[1], (int)args->a[2], &a);
	if (err)
		return err;
	umask(task->fs->umask);
	err = with_addr(task, raw_bind, f->host_fd, &a);
	umask(0);
	return err;
}

static int64_t connect_result(struct kfile *f)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(f->host_fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return -errno;
	return -err;
}

/* state[0]: under way. */
SYSCALL(connect)
{
	struct sock_addr a;
	int err;
	struct kfile *f = sock_of(task, (int)args->a[0], &err);
	struct pollfd p;

	if (!err)
		err = addr_from_user(task, args->a[1], (int)args->a[2], &a);
	if (err)
		return err;
	if (task->wait.state[1]) {
		p = (struct pollfd){ .fd = f->host_fd, .events = POLLOUT };
		if (poll_now(&p, 1) > 0)
			return connect_result(f);
		return wait_for_io(task, f->host_fd, POLLOUT, f->sndtimeo_ns);
	}
	err = with_addr(task, raw_connect, f->host_fd, &a);
	if (f->nonblock || f->outside)
		return err;
	if (err == -EINPROGRESS || err == -EALREADY) {
		task->wait.state[1] = 1;
		return wait_for_io(task, f->host_fd, POLLOUT, f->sndtimeo_ns);
	}
	if (err == -EAGAIN && a.ss.ss_family == AF_UNIX) {	/* the listener's queue is full */
		wait_until(task, monotonic_ns() + 1000000);
		return -ERESTART_WAIT;
	}
	return err;
}

SYSCALL(listen)
{
	int err;
	struct kfile *f = sock_of(task, (int)args->a[0], &err);

	return err ? err : host_ret(listen(f->host_fd, (int)args->a[1]));
}

static int64_t do_accept(struct task_struct *task, const struct sys_args *args, int flags)
{
	struct sock_addr a = { .len = sizeof(a.ss) };
	int err, fd;
	struct kfile *f = sock_of(task, (int)args->a[0], &err);

	if (err)
		return err;
	if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
		return -EINVAL;
	fd = accept4(f->host_fd, (struct sockaddr *)&a.ss, &a.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0 && errno == EAGAIN && !f->nonblock)
		return wait_for_io(task, f->host_fd, POLLIN, f->rcvtimeo_ns);
	fd = fd_install_host(task, fd, flags & SOCK_NONBLOCK, flags & SOCK_CLOEXEC);
	if (fd < 0)
		return fd;
	err = addr_to_user(task, &a, args->a[1], args->a[2]);
	if (err)
		fd_close(task, fd);
	return err ? err : fd;
}

SYSCALL(accept)
{
	return do_accept(task, args, 0);
}

SYSCALL(accept4)
{
	return do_accept(task, args, (int)args->a[3]);
}

static int64_t do_name(struct task_struct *task, const struct sys_args *args,
		       int (*call)(int, struct sockaddr *, socklen_t *))
{
	struct sock_addr a = { .len = sizeof(a.ss) };
	int err;
	struct kfile *f = sock_of(task, (int)args->a[0], &err);

	if (err)
		return err;
	if (call(f->host_fd, (struct sockaddr *)&a.ss, &a.len) < 0)
		return -errno;
	return args->a[1] ? addr_to_user(task, &a, args->a[1], args->a[2]) : -EFAULT;
}

static int raw_sockname(int fd, struct sockaddr *sa, socklen_t *len)
{
	return getsockname(fd, sa, len);
}

static int raw_peername(int fd, struct sockaddr *sa, socklen_t *len)
{
	return getpeername(fd, sa, len);
}

SYSCALL(getsockname)
{
	return do_name(task, args, raw_sockname);
}

SYSCALL(getpeername)
{
	return do_name(task, args, raw_peername);
}

SYSCALL(shutdown)
{
	int err;
	struct kfile *f = sock_of(task, (int)args->a[0], &err);

	return err ? err : host_ret(shutdown(f->host_fd, (int)args->a[1]));
}

/* ---- options */

/* Those whose value holds addresses of the caller's memory: tables of netfilter, and one of TCP. */
static bool option_has_pointer(int level, int name)
{
	switch (level) {
	case IPPROTO_TCP:
		return name == 35;	/* TCP_ZEROCOPY_RECEIVE */
	case IPPROTO_IP:	/* of IP, ARP, bridges; 80 is an address only */
		return (name >= 64 && name < 80) || (name >= 96 && name < 100) || (name >= 128 && name < 136);
	case IPPROTO_IPV6:	/* among IPV6_TCLASS and others */
		return name == 64 || name == 65 || name == 68 || name == 69;
	}
	return false;
}

static int64_t attach_filter(struct task_struct *task, struct kfile *f, int name, uint64_t user)
{
	struct { unsigned short len; uint64_t filter; } prog;
	struct sock_fprog host;
	int64_t r = -EFAULT;

	if (copy_from_user(task, &prog, user, sizeof(prog)))
		return -EFAULT;
	if (!prog.len || prog.len > BPF_MAXINSNS)
		return -EINVAL;
	host.len = prog.len;
	host.filter = malloc(prog.len * sizeof(*host.filter));
	if (!host.filter)
		return -ENOMEM;
	if (!copy_from_user(task, host.filter, prog.filter, prog.len * sizeof(*host.filter)))
		r = host_ret(setsockopt(f->host_fd, SOL_SOCKET, name, &host, sizeof(host)));
	free(host.filter);
	return r;
}

static void note_timeout(struct kfile *f, int level, int name, const void *value, size_t len)
{
	const struct timeval *tv = value;
	uint64_t ns;

	if (level != SOL_SOCKET || (name != SO_RCVTIMEO && name != SO_SNDTIMEO) || len < sizeof(*tv))
		return;
	ns = tv->tv_sec * 1000000000ull + tv->tv_usec * 1000;
	*(name == SO_RCVTIMEO ? &f->rcvtimeo_ns : &f->sndtimeo_ns) = ns;
}

SYSCALL(setsockopt)
{
	int level = args->a[1], name = args->a[2], len = args->a[4], err;
	struct kfile *f = sock_of(task, (int)args->a[0], &err);

	if (err)
		return err;
	if (len < 0)
		return -EINVAL;
	if (level == SOL_SOCKET && (name == SO_ATTACH_FILTER || name == SO_ATTACH_REUSEPORT_CBPF))
		return attach_filter(task, f, name, args->a[3]);
	if (option_has_pointer(level, name) || len > MAX_OPTION)
		return -ENOPROTOOPT;
	if (copy_from_user(task, bounce, args->a[3], len))
		return -EFAULT;
	if (setsockopt(f->host_fd, level, name, bounce, len) < 0)
		return -errno;
	note_timeout(f, level, name, bounce, len);
	return 0;
}

/* A peer that is a guest has the host's pid of all of us. */
static void guest_credentials(struct task_struct *task, struct kfile *f, struct ucred *cred)
{
	if (cred->pid == getpid())
		cred->pid = f->peer_pid ? f->peer_pid : task->kernel->init->tgid;
}

SYSCALL(getsockopt)
{
	int level = args->a[1], name = args->a[2], err;
	struct kfile *f = sock_of(task, (int)args->a[0], &err);
	socklen_t len;

	if (err)
		return err;
	if (copy_from_user(task, &len, args->a[4], sizeof(len)))
		return -EFAULT;
	if ((int)len < 0)
		return -EINVAL;
	if (option_has_pointer(level, name))
		return -ENOPROTOOPT;
	if (len > MAX_OPTION)
		len = MAX_OPTION;
	if (copy_from_user(task, bounce, args->a[3], len))	/* some read what is there */
		memset(bounce, 0, len);
	if (getsockopt(f->host_fd, level, name, bounce, &len) < 0)
		return -errno;
	if (level == SOL_SOCKET && name == SO_PEERCRED && len == sizeof(struct ucred))
		guest_credentials(task, f, (struct ucred *)bounce);
	if (copy_to_user(task, args->a[3], bounce, len) || copy_to_user(task, args->a[4], &len, sizeof(len)))
		return -EFAULT;
	return 0;
}

/* ---- descriptors under way */

struct in_flight {
	struct in_flight *next;
	struct kfile *file;
};
static struct in_flight *in_flight;

static bool same_description(int a, int b)
{
	pid_t me = getpid();

	return syscall(SYS_kcmp, me, me, KCMP_FILE, a, b) == 0;
}

static int send_off(struct kfile *f)
{
	struct in_flight *i = malloc(sizeof(*i));

	if (!i)
		return -ENOMEM;
	*i = (struct in_flight){ in_flight, kfile_get(f) };
	in_flight = i;
	return f->host_fd;
}

/* What came in as a host descriptor, which is used up. NULL: no memory. */
static struct kfile *arrived(struct kernel *k, int host_fd)
{
	struct list_head *p;

	for (struct in_flight **i = &in_flight; *i; i = &(*i)->next) {
		struct in_flight *it = *i;
		struct kfile *f = it->file;

		if (!same_description(f->host_fd, host_fd))
			continue;
		*i = it->next;
		free(it);
		close(host_fd);
		return f;
	}
	/* Not sent by a guest, or sent once and received twice (MSG_PEEK). */
	for (p = all_kfiles.next; p != &all_kfiles; p = p->next) {
		struct kfile *f = container_of(p, struct kfile, all);

		if (same_description(f->host_fd, host_fd)) {
			close(host_fd);
			return kfile_get(f);
		}
	}
	{
		struct kfile *f = kfile_from_host(k, host_fd, fcntl(host_fd, F_GETFL) & O_NONBLOCK);

		if (f && f->kind > KFILE_CHR)
			f->outside = true;
		return f;
	}
}

static void cancel_flight(const int *fds, int n)
{
	for (int j = 0; j < n; j++)
		for (struct in_flight **i = &in_flight; *i; i = &(*i)->next)
			if ((*i)->file->host_fd == fds[j]) {
				struct in_flight *it = *i;

				*i = it->next;
				kfile_put(it->file);
				free(it);
				break;
			}
}

/* ---- control messages */

#define RIGHTS(c) ((int *)CMSG_DATA(c))
#define NR_RIGHTS(c) (((c)->cmsg_len - CMSG_LEN(0)) / sizeof(int))

/* Guest descriptors become host ones; what was taken is given back on failure. */
static int control_out(struct task_struct *task, struct msghdr *m)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_len < sizeof(*c))
			return -EINVAL;
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len >= CMSG_LEN(sizeof(struct ucred))) {
			struct ucred *cred = (struct ucred *)CMSG_DATA(c);

			if (find_task(task->kernel, cred->pid))
				cred->pid = getpid();
		}
		if (c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < NR_RIGHTS(c); i++) {
			struct kfile *f = fcheck(task, RIGHTS(c)[i]);
			int host = f ? send_off(f) : -EBADF;

			if (host < 0) {
				cancel_flight(RIGHTS(c), i);
				return host;
			}
			RIGHTS(c)[i] = host;
		}
	}
	return 0;
}

static void control_cancel(struct msghdr *m)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			cancel_flight(RIGHTS(c), NR_RIGHTS(c));
}

static void control_in(struct task_struct *task, struct kfile *sock, struct msghdr *m, bool cloexec)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS)
			guest_credentials(task, sock, (struct ucred *)CMSG_DATA(c));
		if (c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < NR_RIGHTS(c); i++) {
			struct kfile *f = arrived(task->kernel, RIGHTS(c)[i]);

			RIGHTS(c)[i] = f ? fd_install(task, f, cloexec, 0) : -1;
		}
	}
}

/* ---- messages */

struct user_msghdr {		/* the kernel's struct of x86-64 */
	uint64_t name;
	int namelen, pad;
	uint64_t iov, iovlen, control, controllen;
	unsigned flags, pad2;
};

struct message {		/* one message, out or in */
	struct task_struct *task;
	struct kfile *f;
	unsigned flags;		/* of the call */
	struct iov_iter it;
	struct sock_addr addr;
	bool has_addr;
	uint64_t control, controllen;	/* guest */
	unsigned out_flags;
};

int sock_type(struct kfile *f)
{
	socklen_t len = sizeof(f->sock_type);

	if (!f->sock_type && getsockopt(f->host_fd, SOL_SOCKET, SO_TYPE, &f->sock_type, &len) < 0)
		return SOCK_DGRAM;
	return f->sock_type;
}

static bool dont_wait(const struct message *m)
{
	return m->f->nonblock || m->flags & MSG_DONTWAIT;
}

/* A buffer for the whole of a message; a stream goes by the piece. */
static void *message_buffer(struct message *m, size_t *n)
{
	*n = m->it.left;
	if (*n <= BOUNCE_SIZE)
		return bounce;
	if (sock_type(m->f) == SOCK_STREAM) {
		*n = BOUNCE_SIZE;
		return bounce;
	}
	if (*n > 16 << 20)
		*n = 16 << 20;
	return malloc(*n);
}

static void free_buffer(void *buf)
{
	if (buf != bounce)
		free(buf);
}

static int64_t send_piece(struct message *m, const void *buf, size_t n, bool first)
{
	char control[first ? m->controllen + 1 : 1];
	struct iovec iov = { (void *)buf, n };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	int64_t r;

	if (m->has_addr) {
		h.msg_name = &m->addr.ss;
		h.msg_namelen = m->addr.len;
	}
	if (first && m->controllen) {
		if (copy_from_user(m->task, control, m->control, m->controllen))
			return -EFAULT;
		h.msg_control = control;
		h.msg_controllen = m->controllen;
		r = control_out(m->task, &h);
		if (r)
			return r;
	}
	r = host_ret(sendmsg(m->f->host_fd, &h,
			     (m->flags & ~MSG_ZEROCOPY) | MSG_DONTWAIT | MSG_NOSIGNAL));
	if (r < 0 && h.msg_control)
		control_cancel(&h);
	return r;
}

static int64_t send_end(struct message *m, int64_t done, int64_t err)
{
	if (err == -EPIPE && !(m->flags & MSG_NOSIGNAL) && sock_type(m->f) == SOCK_STREAM)
		send_signal(m->task, SIGPIPE, NULL, false);
	return done ? done : err;
}

/* state[0]: bytes of a stream that are gone already. */
static int64_t do_send(struct message *m)
{
	struct task_struct *task = m->task;
	int64_t done = task->wait.state[0], r;

	if (m->controllen > MAX_CONTROL)
		return -ENOBUFS;
	iov_advance(&m->it, done);
	do {
		size_t n, got;
		char *buf = message_buffer(m, &n);

		if (!buf)
			return -ENOBUFS;
		got = copy_from_iter(&m->it, buf, n);
		r = got < n ? -EFAULT : send_piece(m, buf, n, !done);
		free_buffer(buf);
		if (r == -EAGAIN && !dont_wait(m)) {
			task->wait.state[0] = done;
			r = wait_for_io(task, m->f->host_fd, POLLOUT, m->f->sndtimeo_ns);
			return r == -EAGAIN && done ? done : r;
		}
		if (r < 0)
			return send_end(m, done, r);
		done += r;
		if ((size_t)r < n) {		/* the rest of the piece is to be taken again */
			if (dont_wait(m) || sock_type(m->f) != SOCK_STREAM)
				return done;
			task->wait.state[0] = done;
			return wait_for_io(task, m->f->host_fd, POLLOUT, m->f->sndtimeo_ns);
		}
	} while (m->it.left);
	return done;
}

static int64_t receive_piece(struct message *m, void *buf, size_t n, char *control, size_t *controllen)
{
	struct iovec iov = { buf, n };
	struct msghdr h = {
		.msg_name = &m->addr.ss,
		.msg_namelen = sizeof(m->addr.ss),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = *controllen ? control : NULL,
		.msg_controllen = *controllen,
	};
	int64_t r = host_ret(recvmsg(m->f->host_fd, &h,
				     (m->flags & ~MSG_WAITALL) | MSG_DONTWAIT | MSG_CMSG_CLOEXEC));

	if (r < 0)
		return r;
	control_in(m->task, m->f, &h, m->flags & MSG_CMSG_CLOEXEC);
	*controllen = h.msg_controllen;
	m->addr.len = h.msg_namelen;
	m->out_flags = h.msg_flags & ~MSG_CMSG_CLOEXEC;
	if (m->flags & MSG_CMSG_CLOEXEC)
		m->out_flags |= MSG_CMSG_CLOEXEC;
	return r;
}

/* state[0]: bytes of a MSG_WAITALL that are there already. */
static int64_t do_receive(struct message *m)
{
	bool all = m->flags & MSG_WAITALL && !(m->flags & MSG_PEEK) && sock_type(m->f) == SOCK_STREAM;
	struct task_struct *task = m->task;
	int64_t done = all ? task->wait.state[0] : 0;
	size_t room = m->controllen < MAX_CONTROL ? m->controllen : MAX_CONTROL, n, controllen;
	char control[room + 1];

	iov_advance(&m->it, done);
	do {
		char *buf = message_buffer(m, &n);
		int64_t r;
		size_t in;

		if (!buf)
			return -ENOBUFS;
		controllen = room;
		r = receive_piece(m, buf, n, control, &controllen);
		in = r > 0 ? copy_to_iter(&m->it, buf, (size_t)r < n ? (size_t)r : n) : 0;
		free_buffer(buf);
		if (r == -EAGAIN && !dont_wait(m)) {
			task->wait.state[0] = done;
			r = wait_for_io(task, m->f->host_fd, POLLIN, m->f->rcvtimeo_ns);
			return r == -EAGAIN && done ? done : r;
		}
		if (r < 0)
			return done ? done : r;
		if (r > 0 && n && in < ((size_t)r < n ? (size_t)r : n))
			return -EFAULT;
		done += r;
		if (!r)
			break;
	} while (all && m->it.left);
	if (controllen && copy_to_user(task, m->control, control, controllen))
		return -EFAULT;
	m->controllen = controllen;
	return done;
}

/* ---- system calls */

SYSCALL(sendto)
{
	struct message m = { .task = task, .flags = args->a[3] };
	int err;

	m.f = sock_of(task, (int)args->a[0], &err);
	m.has_addr = args->a[4];
	if (!err && m.has_addr)
		err = addr_from_user(task, args->a[4], (int)args->a[5], &m.addr);
	if (err)
		return err;
	iov_single(task, &m.it, args->a[1], args->a[2]);
	return do_send(&m);
}

SYSCALL(recvfrom)
{
	struct message m = { .task = task, .flags = args->a[3] };
	int err;
	int64_t r;

	m.f = sock_of(task, (int)args->a[0], &err);
	if (err)
		return err;
	iov_single(task, &m.it, args->a[1], args->a[2]);
	r = do_receive(&m);
	if (r >= 0 && args->a[4]) {
		err = addr_to_user(task, &m.addr, args->a[4], args->a[5]);
		return err ? err : r;
	}
	return r;
}

static int64_t message_from_user(struct message *m, uint64_t user, struct user_msghdr *h)
{
	if (copy_from_user(m->task, h, user, sizeof(*h)))
		return -EFAULT;
	if (h->iovlen > 1024)
		return -EMSGSIZE;
	m->control = h->control;
	m->controllen = h->control ? h->controllen : 0;
	return iov_import(m->task, &m->it, h->iov, h->iovlen);
}

static int64_t send_user(struct message *m, uint64_t user)
{
	struct user_msghdr h;
	int64_t r = message_from_user(m, user, &h);

	if (r)
		return r;
	m->has_addr = h.name && h.namelen;
	if (m->has_addr)
		r = addr_from_user(m->task, h.name, h.namelen, &m->addr);
	if (!r)
		r = do_send(m);
	iov_free(&m->it);
	return r;
}

static int64_t receive_user(struct message *m, uint64_t user)
{
	struct task_struct *task = m->task;
	struct user_msghdr h;
	int64_t r = message_from_user(m, user, &h);
	int namelen;

	if (r)
		return r;
	r = do_receive(m);
	iov_free(&m->it);
	if (r < 0)
		return r;
	namelen = h.namelen < (int)m->addr.len ? h.namelen : (int)m->addr.len;
	if (h.name && namelen > 0 && copy_to_user(task, h.name, &m->addr.ss, namelen))
		return -EFAULT;
	h.namelen = h.name ? (int)m->addr.len : h.namelen;
	h.controllen = m->controllen;
	h.flags = m->out_flags;
	if (h.name && copy_to_user(task, user + offsetof(struct user_msghdr, namelen), &h.namelen, 4))
		return -EFAULT;
	if (copy_to_user(task, user + offsetof(struct user_msghdr, controllen), &h.controllen, 8) ||
	    copy_to_user(task, user + offsetof(struct user_msghdr, flags), &h.flags, 4))
		return -EFAULT;
	return r;
}

SYSCALL(sendmsg)
{
	struct message m = { .task = task, .flags = args->a[2] };
	int err;

	m.f = sock_of(task, (int)args->a[0], &err);
	return err ? err : send_user(&m, args->a[1]);
}

SYSCALL(recvmsg)
{
	struct message m = { .task = task, .flags = args->a[2] };
	int err;

	m.f = sock_of(task, (int)args->a[0], &err);
	return err ? err : receive_user(&m, args->a[1]);
}

#define MMSG_SIZE (sizeof(struct user_msghdr) + 8)

/* state[1]: messages done. An error after the first is not told. */
static int64_t do_mmsg(struct task_struct *task, const struct sys_args *args,
		       int64_t (*one)(struct message *, uint64_t))
{
	int n = (unsigned)args->a[2] < MAX_MESSAGES ? args->a[2] : MAX_MESSAGES, i = task->wait.state[1];
	unsigned flags = args->a[3];
	int err;
	struct kfile *f = sock_of(task, (int)args->a[0], &err);

	if (err)
		return err;
	for (; i < n; i++) {
		uint64_t user = args->a[1] + i * MMSG_SIZE;
		struct message m = { .task = task, .f = f, .flags = flags & ~MSG_WAITFORONE };
		int64_t r;
		uint32_t len;

		if (i && flags & MSG_WAITFORONE)
			m.flags |= MSG_DONTWAIT;
		r = one(&m, user);
		if (r == -ERESTART_WAIT) {
			task->wait.state[1] = i;
			return r;
		}
		if (r < 0)
			return i ? i : r;
		task->wait.state[0] = 0;
		len = r;
		if (copy_to_user(task, user + sizeof(struct user_msghdr), &len, sizeof(len)))
			return i ? i : -EFAULT;
	}
	return i;
}

SYSCALL(sendmmsg)
{
	return do_mmsg(task, args, send_user);
}

SYSCALL(recvmmsg)
{
	return do_mmsg(task, args, receive_user);
}
