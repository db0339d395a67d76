/* ew_port.h for a POSIX computer: the executable is its own board behind a pseudo terminal. It prints the terminal's
 * path in one line on stdout and serves whoever opens it. It ends on SIGTERM or SIGINT, when its parent dies (Linux),
 * and when the peer has closed the terminal and not come back within LINGER_MS. */
#define _GNU_SOURCE /* posix_openpt, cfmakeraw, prctl */

#include "ew_port.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#ifndef EW_HOST_BATCH_BYTES
#define EW_HOST_BATCH_BYTES (1u << 20)
#endif
#ifndef LINGER_MS
#define LINGER_MS 10000
#endif
#define POLL_MS 20     /* how often a hung-up terminal is looked at: poll() cannot wait for its return */
#define EXIT_SETUP 74  /* EX_IOERR of sysexits.h */

static uint8_t batch_memory[EW_HOST_BATCH_BYTES] __attribute__((aligned(16)));
static int master = -1;
static volatile sig_atomic_t stopping;

static void stop(int number)
{
    (void)number;
    stopping = 1;
}

static _Noreturn void fail(const char *what)
{
    const char *parts[] = {"ew_port_host: ", what, ": ", strerror(errno), "\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (write(STDERR_FILENO, parts[i], strlen(parts[i])) < 0) {
            break;
        }
    }
    _exit(EXIT_SETUP);
}

/* Raw mode is a property of the terminal and outlives this descriptor; keeping it open would hide the peer's leaving. */
static void set_raw(const char *path)
{
    struct termios mode;
    int slave = open(path, O_RDWR | O_NOCTTY);
    if (slave < 0 || tcgetattr(slave, &mode) != 0) {
        fail(path);
    }
    cfmakeraw(&mode);
    if (tcsetattr(slave, TCSANOW, &mode) != 0) {
        fail(path);
    }
    (void)close(slave);
}

static void catch_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = stop;
    (void)sigemptyset(&action.sa_mask);
    if (sigaction(SIGTERM, &action, NULL) != 0 || sigaction(SIGINT, &action, NULL) != 0) {
        fail("sigaction");
    }
#ifdef __linux__
    pid_t parent = getppid();
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) {
        fail("prctl");
    }
    if (getppid() != parent) { /* it died in between */
        stopping = 1;
    }
#endif
}

void ew_port_init(void)
{
    catch_signals();
    master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        fail("pseudo terminal");
    }
    const char *path = ptsname(master);
    if (path == NULL) {
        fail("ptsname");
    }
    set_raw(path);
    int flags = fcntl(master, F_GETFL);
    if (flags < 0 || fcntl(master, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(master, F_SETFD, FD_CLOEXEC) != 0) {
        fail("fcntl");
    }
    size_t length = strlen(path);
    if (write(STDOUT_FILENO, path, length) != (ssize_t)length || write(STDOUT_FILENO, "\n", 1) != 1) {
        fail("stdout");
    }
}

static uint64_t now_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
        fail("clock_gettime");
    }
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Before the first peer the wait is endless: someone may open the path by hand at any time. */
size_t ew_port_read(uint8_t *dst, size_t max_bytes)
{
    static int had_peer;
    uint64_t hung_up_since = 0;
    while (!stopping) {
        ssize_t count = read(master, dst, max_bytes);
        if (count > 0) {
            had_peer = 1;
            return (size_t)count;
        }
        if (count < 0 && errno != EIO && errno != EAGAIN && errno != EINTR) {
            return 0;
        }
        struct pollfd line = {.fd = master, .events = POLLIN};
        (void)poll(&line, 1, POLL_MS * 10);
        if ((line.revents & POLLHUP) == 0) {
            hung_up_since = 0;
            continue;
        }
        if ((line.revents & POLLIN) != 0) {
            continue; /* the peer's last bytes */
        }
        if (had_peer && hung_up_since == 0) {
            hung_up_since = now_ns();
        }
        if (had_peer && now_ns() - hung_up_since > (uint64_t)LINGER_MS * 1000000u) {
            return 0;
        }
        (void)poll(NULL, 0, POLL_MS);
    }
    return 0;
}

size_t ew_port_read_now(uint8_t *dst, size_t max_bytes)
{
    ssize_t count = read(master, dst, max_bytes);
    return count > 0 ? (size_t)count : 0u;
}

/* What nobody is there to read is dropped, as on a wire; a peer that is there and slow is waited for. */
void ew_port_write(const uint8_t *src, size_t n_bytes)
{
    while (n_bytes > 0 && !stopping) {
        struct pollfd line = {.fd = master, .events = POLLOUT};
        (void)poll(&line, 1, POLL_MS * 10);
        if ((line.revents & POLLHUP) != 0) {
            return;
        }
        ssize_t count = write(master, src, n_bytes);
        if (count > 0) {
            src += count;
            n_bytes -= (size_t)count;
        } else if (count < 0 && errno != EAGAIN && errno != EINTR) {
            return;
        }
    }
}

uint64_t ew_port_ticks(void)
{
    return now_ns();
}

uint32_t ew_port_timer_hz(void)
{
    return 1000000000u;
}

/* Nothing counts instructions here. */
void ew_port_roi_begin(void)
{
}

void ew_port_roi_end(void)
{
}

uint8_t *ew_port_batch_memory(size_t *n_bytes)
{
    *n_bytes = sizeof batch_memory;
    return batch_memory;
}

/* The stack is the operating system's and not measured. */
void ew_port_stack_paint(void)
{
}

size_t ew_port_stack_used_bytes(void)
{
    return 0;
}

size_t ew_port_stack_size_bytes(void)
{
    return 0;
}

void ew_port_reset(void)
{
    _exit(0); /* what was written already lies in the terminal */
}

ew_reset_cause ew_port_reset_cause(void)
{
    return EW_RESET_POWER_ON;
}

void ew_port_alive(void)
{
}
