#include "tty.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termcap.h>
#include <termios.h>
#include <unistd.h>

#define CTRL_C 3
#define PIECE 4096

static int tty = -1, keys = -1;
static bool ended; /* there will be no more keys */
static int guard = -1; /* a pipe: when it closes without a byte, the guard restores the terminal */
static pid_t guard_process;
static struct termios before, raw;

/* typed while no line was being edited: bytes from first to last */
static unsigned char *ahead;
static size_t ahead_first, ahead_last, ahead_room;

/* --- is there one? ---------------------------------------------------------------------------------------- */

bool lm_undermpirun(void)
{
    char path[40], parent[16] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", (int)getppid());
    FILE *file = fopen(path, "r");
    if (!file) return false;
    if (fscanf(file, "%15s", parent) != 1) *parent = 0;
    fclose(file);
    return !strcmp(parent, "mpirun") || !strcmp(parent, "orterun");
}

bool lm_typed(void)
{
    char path[40];
    if (isatty(STDIN_FILENO)) return true;
    if (!lm_undermpirun()) return false;
    snprintf(path, sizeof path, "/proc/%d/fd/0", (int)getppid());
    int fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return false;
    bool is = isatty(fd);
    close(fd);
    return is;
}

static bool can_edit(void)
{
    const char *term = getenv("TERM");
    char entry[4096];
    return term && strcmp(term, "dumb") && tgetent(entry, term) == 1;
}

/* --- settings --------------------------------------------------------------------------------------------- */

/* "\033[?2004l": pasted text is no longer marked as such. */
static void restore(void)
{
    static const char plain[] = "\033[?2004l";
    tcsetattr(tty, TCSADRAIN, &before);
    if (write(tty, plain, sizeof plain - 1) < 0) return;
}

/* Lives in a process group of its own, which nobody ends. */
static _Noreturn void watch_over(int pipe)
{
    char byte;
    ssize_t n;
    setpgid(0, 0);
    prctl(PR_SET_NAME, "luampi guard");
    for (int s = 1; s < NSIG; s++) signal(s, SIG_IGN);
    for (int fd = 0; fd < 256; fd++)
        if (fd != pipe && fd != tty) close(fd);
    while ((n = read(pipe, &byte, 1)) < 0 && errno == EINTR) continue;
    if (n == 0) restore();
    _exit(0);
}

void lm_opentty(void)
{
    int ends[2];
    if (!lm_typed() || !can_edit()) return;
    tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (tty < 0) return;
    signal(SIGTTOU, SIG_IGN); /* under mpirun this process is in the background */
    if (tcgetattr(tty, &before) || pipe2(ends, O_CLOEXEC)) {
        close(tty);
        tty = -1;
        return;
    }
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    guard_process = fork();
    if (guard_process == 0) watch_over(ends[0]);
    close(ends[0]);
    guard = ends[1];
    atexit(lm_closetty);
}

int lm_ttyfd(void) { return tty; }

void lm_ttyraw(void) { tcsetattr(tty, TCSADRAIN, &raw); }

void lm_closetty(void)
{
    if (guard < 0) return;
    restore();
    if (write(guard, "", 1) == 1) close(guard);
    guard = -1;
    while (guard_process > 0 && waitpid(guard_process, NULL, 0) < 0 && errno == EINTR) continue;
}

/* --- keys ------------------------------------------------------------------------------------------------- */

void lm_startkeys(int fd) { keys = fd; }

int lm_key(void)
{
    unsigned char byte;
    ssize_t n;
    if (ahead_first < ahead_last) return ahead[ahead_first++];
    if (ended) return -1;
    while ((n = read(keys, &byte, 1)) < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    return n == 1 ? byte : -1;
}

bool lm_awaitkey(int milliseconds)
{
    return ended || ahead_first < ahead_last || poll(&(struct pollfd){keys, POLLIN, 0}, 1, milliseconds) > 0;
}

bool lm_keyready(void)
{
    return ahead_first < ahead_last || (!ended && poll(&(struct pollfd){keys, POLLIN, 0}, 1, 0) > 0);
}

void lm_waitforkeys(int milliseconds)
{
    poll(&(struct pollfd){keys, POLLIN, 0}, tty >= 0 && !ended, milliseconds);
}

int lm_typedahead(void)
{
    int stops = 0;
    struct pollfd ready = {keys, POLLIN, 0};
    while (!ended && poll(&ready, 1, 0) > 0) {
        if (ahead_first == ahead_last) ahead_first = ahead_last = 0;
        if (ahead_room - ahead_last < PIECE) {
            unsigned char *larger = realloc(ahead, ahead_room + 16 * PIECE);
            if (!larger) break;
            ahead = larger;
            ahead_room += 16 * PIECE;
        }
        ssize_t n = read(keys, ahead + ahead_last, PIECE);
        if (n == 0) ended = true;
        if (n <= 0) break;
        for (size_t end = ahead_last + (size_t)n; ahead_last < end; ahead_last++) {
            if (ahead[ahead_last] != CTRL_C) continue;
            stops++;
            ahead_first = ahead_last + 1;
        }
    }
    return stops;
}
