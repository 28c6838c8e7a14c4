/*
 * base/sandbox.h - what a process that was broken into may still do
 *
 * What     Two kinds. sandbox_enter, for who reads bytes from outside: resource limits, Landlock (no
 *          file by name, no TCP bind or connect, no abstract socket, no signal to others, as far as
 *          the kernel knows them), and a seccomp list of what is allowed. sandbox_enter_owner, for
 *          mmd: Landlock lets it at the files that it was told of and start its own programs, and
 *          seccomp refuses what it never does; its children inherit that and then enter their own.
 *          What isn't allowed gives EPERM or EACCES, so a program that was broken into fails in the
 *          open and a test can see it. No core dump, not traceable, no new privileges. Memory is
 *          locked where the system lets it, so that neither keys nor mail get into the swap.
 * When     After everything that needs files (libraries, character sets, time zones, OpenSSL's
 *          settings), before the first byte from outside, and before the first thread: Landlock
 *          binds the calling thread and those it makes. There is no way out.
 * Kernel   A kernel without Landlock gets a warning in the log and the rest. seccomp must work.
 * Threads  One call, by the only thread.
 */
#ifndef MM_BASE_SANDBOX_H
#define MM_BASE_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define SANDBOX_PORTS 100 /* with the 0 at the end */

struct sandbox_profile {
	/* Numbers (__NR_...) allowed beside the common ones: read, write, readv, writev, close, lseek,
	 * fstat, memory without PROT_EXEC, futex, signals to itself, clocks and sleep, getrandom, exit.
	 * Not among them: anything that opens, binds, connects, makes sockets or processes; recvmsg,
	 * sendmsg, recvfrom, sendto, accept4, epoll_*, poll, eventfd2, ftruncate, fcntl, ioctl... */
	const int *syscalls;
	size_t count;
	bool threads; /* pthread_create works; never a new process */
	/* TCP over IPv4 and IPv6, to these ports of any address; 0 ends; none: never connects. */
	uint16_t connect_ports[SANDBOX_PORTS];
	/* UDP over IPv4 and IPv6, from and to any port: neither Landlock nor seccomp can tell those. With it sockets
	 * may be bound and connected; none listens. */
	bool datagrams;
	/* RLIMIT_AS in bytes; 0: none. Left out in sanitizer builds, whose shadow needs terabytes. */
	uint64_t address_space;
	unsigned nofile;    /* RLIMIT_NOFILE; 0: as it is */
	uint64_t stack;     /* RLIMIT_STACK of the main thread; 0: as it is */
};

enum sandbox_use {
	SANDBOX_READ,  /* a file, or all beneath a directory */
	SANDBOX_RUN,   /* the same, and start it */
	SANDBOX_WRITE, /* everything but to start it, and to make links and devices */
};

struct sandbox_path {
	const char *path; /* one that isn't there is left out */
	enum sandbox_use use;
};

/* RC_IO when a part that must work doesn't; the caller then ends the process. */
enum rc sandbox_enter(const struct sandbox_profile *p, struct err *e) MUST_USE;
/* The libraries and tables that children load at their start are added to `paths`, and so is
 * `programs` (names beside this one, as base/child.h takes them; NULL ends). */
enum rc sandbox_enter_owner(const struct sandbox_path *paths, size_t count,
                            const char *const *programs, struct err *e) MUST_USE;
/* True when this kernel restricted files by name; for logs and tests, after sandbox_enter. */
bool sandbox_has_landlock(void);

#endif
