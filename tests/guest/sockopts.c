/* SPDX-License-Identifier: MIT */
/* Options of IPv6 sockets that share numbers with netfilter's, and what they bring with messages. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void show(int fd)
{
	char control[256], data[8];
	struct iovec iov = { data, sizeof(data) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &m, 0);

	printf("%d bytes, flags %x:", (int)n, m.msg_flags);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		int value;

		memcpy(&value, CMSG_DATA(c), sizeof(value));
		printf(" (%d, %d, %d)", c->cmsg_level, c->cmsg_type, value);
	}
	printf("\n");
}

int main(void)
{
	static const int names[] = { IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS, IPV6_TCLASS, IPV6_AUTOFLOWLABEL,
				     IPV6_MINHOPCOUNT, IPV6_RECVFRAGSIZE, IPV6_FREEBIND };
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	socklen_t length = sizeof(addr);
	int to = socket(AF_INET6, SOCK_DGRAM, 0), from = socket(AF_INET6, SOCK_DGRAM, 0);

	if (bind(to, (void *)&addr, sizeof(addr)) || getsockname(to, (void *)&addr, &length)) {
		printf("no IPv6 here\n");
		return 0;
	}
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int one = 1, value = -1, set = setsockopt(to, IPPROTO_IPV6, names[i], &one, sizeof(one)) ? errno : 0;

		length = sizeof(value);
		printf("option %d: set %d, get %d,", names[i], set,
		       getsockopt(to, IPPROTO_IPV6, names[i], &value, &length) ? errno : 0);
		printf(" value %d of %d\n", value, (int)length);
	}
	if (sendto(from, "x", 1, 0, (void *)&addr, sizeof(addr)) == 1)
		show(to);
	return 0;
}
