// A wall clock that is MILLSTREAM_TEST_CLOCK seconds off, for a process that loads this first.
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    const char *off = getenv("MILLSTREAM_TEST_CLOCK");
    if (result == 0 && clock == CLOCK_REALTIME && off != NULL)
        time->tv_sec += atol(off);
    return result;
}
