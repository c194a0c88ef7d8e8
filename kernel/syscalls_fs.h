/* SPDX-License-Identifier: MIT */
/* The system calls on files, by the file that defines them. kernel/syscalls.c names them in its table. */
#ifndef KERNEL_SYSCALLS_FS_H
#define KERNEL_SYSCALLS_FS_H

#include "kernel.h"

/* fdtable.c */
SYSCALL(close);
SYSCALL(close_range);
SYSCALL(dup);
SYSCALL(dup2);
SYSCALL(dup3);
SYSCALL(fcntl);

/* open.c */
SYSCALL(open);
SYSCALL(openat);
SYSCALL(openat2);
SYSCALL(creat);
SYSCALL(truncate);
SYSCALL(ftruncate);
SYSCALL(access);
SYSCALL(faccessat);
SYSCALL(faccessat2);
SYSCALL(chdir);
SYSCALL(fchdir);
SYSCALL(getcwd);
SYSCALL(umask);
SYSCALL(statfs);
SYSCALL(fstatfs);

/* namei.c */
SYSCALL(mkdir);
SYSCALL(mkdirat);
SYSCALL(mknod);
SYSCALL(mknodat);
SYSCALL(rmdir);
SYSCALL(unlink);
SYSCALL(unlinkat);
SYSCALL(rename);
SYSCALL(renameat);
SYSCALL(renameat2);
SYSCALL(link);
SYSCALL(linkat);
SYSCALL(symlink);
SYSCALL(symlinkat);
SYSCALL(readlink);
SYSCALL(readlinkat);
SYSCALL(chmod);
SYSCALL(fchmod);
SYSCALL(fchmodat);
SYSCALL(fchmodat2);
SYSCALL(chown);
SYSCALL(fchown);
SYSCALL(lchown);
SYSCALL(fchownat);
SYSCALL(utime);
SYSCALL(utimes);
SYSCALL(futimesat);
SYSCALL(utimensat);

/* xattr.c */
SYSCALL(setxattr);
SYSCALL(lsetxattr);
SYSCALL(fsetxattr);
SYSCALL(getxattr);
SYSCALL(lgetxattr);
SYSCALL(fgetxattr);
SYSCALL(listxattr);
SYSCALL(llistxattr);
SYSCALL(flistxattr);
SYSCALL(removexattr);
SYSCALL(lremovexattr);
SYSCALL(fremovexattr);

/* read_write.c */
SYSCALL(read);
SYSCALL(write);
SYSCALL(pread64);
SYSCALL(pwrite64);
SYSCALL(readv);
SYSCALL(writev);
SYSCALL(preadv);
SYSCALL(pwritev);
SYSCALL(preadv2);
SYSCALL(pwritev2);
SYSCALL(lseek);
SYSCALL(sendfile);
SYSCALL(fsync);
SYSCALL(fdatasync);
SYSCALL(sync);
SYSCALL(syncfs);
SYSCALL(sync_file_range);
SYSCALL(fallocate);
SYSCALL(fadvise64);
SYSCALL(readahead);

/* stat.c */
SYSCALL(stat);
SYSCALL(fstat);
SYSCALL(lstat);
SYSCALL(newfstatat);
SYSCALL(statx);

/* readdir.c */
SYSCALL(getdents);
SYSCALL(getdents64);

/* pipe.c */
SYSCALL(pipe);
SYSCALL(pipe2);

/* poll.c */
SYSCALL(poll);
SYSCALL(ppoll);
SYSCALL(select);
SYSCALL(pselect6);

/* epoll.c */
SYSCALL(epoll_create);
SYSCALL(epoll_create1);
SYSCALL(epoll_ctl);
SYSCALL(epoll_wait);
SYSCALL(epoll_pwait);
SYSCALL(epoll_pwait2);

/* eventfd.c */
SYSCALL(eventfd);
SYSCALL(eventfd2);
SYSCALL(timerfd_create);
SYSCALL(timerfd_settime);
SYSCALL(timerfd_gettime);
SYSCALL(inotify_init);
SYSCALL(inotify_init1);
SYSCALL(inotify_add_watch);
SYSCALL(inotify_rm_watch);

/* pidfd.c */
SYSCALL(pidfd_open);
SYSCALL(pidfd_send_signal);
SYSCALL(pidfd_getfd);
SYSCALL(process_madvise);
/* splice.c */
SYSCALL(copy_file_range);
SYSCALL(splice);
SYSCALL(tee);
SYSCALL(vmsplice);
/* signalfd.c */
SYSCALL(signalfd);
SYSCALL(signalfd4);

/* socket.c */
SYSCALL(socket);
SYSCALL(socketpair);
SYSCALL(bind);
SYSCALL(listen);
SYSCALL(accept);
SYSCALL(accept4);
SYSCALL(connect);
SYSCALL(getsockname);
SYSCALL(getpeername);
SYSCALL(sendto);
SYSCALL(recvfrom);
SYSCALL(sendmsg);
SYSCALL(recvmsg);
SYSCALL(sendmmsg);
SYSCALL(recvmmsg);
SYSCALL(shutdown);
SYSCALL(setsockopt);
SYSCALL(getsockopt);

/* ioctl.c */
SYSCALL(ioctl);

/* locks.c */
SYSCALL(flock);

/* memfd.c */
SYSCALL(memfd_create);

/* What the rest of the personality may ask of files beyond kernel.h. */

/*
 * Before anything else opens a file: remembers which of 0, 1, 2 are closed (and keeps the numbers
 * from being reused), ignores SIGPIPE, raises the host's limit of open files, and clears the host's
 * umask. Returns the umask that the first task inherits.
 */
unsigned files_early_init(void);
/* The guest process group in the foreground of our controlling terminal; 0: there is none. */
int tty_foreground_pgrp(struct kernel *k);

#endif
