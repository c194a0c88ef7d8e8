/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "witness.h"

static pid_t witness, watched;

/* What the terminal sends goes to a group at any rate; who hears of it knows that by itself. */
static void on_signal(int sig, siginfo_t *info, void *context)
{
	union sigval value = { .sival_int = sig };

	if (info->si_code != SI_KERNEL)
		sigqueue(watched, WITNESS_SIGNAL, value);
}

static _Noreturn void watch(const int *signals, size_t n)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
	sigset_t none;

	/* Ends with the one it watches for, and keeps no pipe open until then. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != watched)
		_exit(0);
	prctl(PR_SET_NAME, "aspace-witness");
	close_range(0, ~0u, 0);
	sigfillset(&action.sa_mask);
	for (size_t i = 0; i < n; i++)
		sigaction(signals[i], &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (;;)
		pause();
}

void witness_start(const int *signals, size_t n)
{
	watched = getpid();
	witness = fork();
	if (witness == 0)
		watch(signals, n);
}

void witness_stop(void)
{
	if (witness <= 0 || watched != getpid())
		return;
	kill(witness, SIGKILL);
	waitpid(witness, NULL, 0);
	witness = 0;
}
