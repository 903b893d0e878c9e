/* SPDX-License-Identifier: MIT */
#include "lab/view.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define ALTERNATE_SCREEN "\033[?1049h\033[?25l"
#define NORMAL_SCREEN "\033[?25h\033[?1049l"
#define ESCAPE_MS 50 /* what follows an escape by then belongs to the key */

enum key { KEY_NONE, KEY_NEXT, KEY_BACK, KEY_FIRST, KEY_LAST, KEY_QUIT, KEY_REDRAW };

/* The signals are let in only while waiting for a key, so that none comes just before. */
static volatile sig_atomic_t resized, ended;
static sigset_t outside; /* the mask with which to wait */

static void on_signal(int sig)
{
	if (sig == SIGWINCH)
		resized = 1;
	else
		ended = sig;
}

unsigned view_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		return size.ws_col;
	if (columns && atoi(columns) >= 20 && atoi(columns) <= 1000)
		return (unsigned)atoi(columns);
	return 80;
}

static int read_byte(int timeout_ms)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	unsigned char byte;
	struct timespec wait = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };
	int r = ppoll(&input, 1, timeout_ms < 0 ? NULL : &wait, &outside);

	if (r <= 0)
		return r < 0 && errno != EINTR ? -2 : -1;
	return read(STDIN_FILENO, &byte, 1) == 1 ? byte : -2;
}

static enum key read_escape(void)
{
	int next = read_byte(ESCAPE_MS), key;

	if (next != '[' && next != 'O')
		return next < 0 ? KEY_QUIT : KEY_NONE;
	key = read_byte(ESCAPE_MS);
	switch (key) {
	case 'C':
	case 'B':
		return KEY_NEXT;
	case 'D':
	case 'A':
		return KEY_BACK;
	case 'H':
		return KEY_FIRST;
	case 'F':
		return KEY_LAST;
	default: /* 1~ home, 4~ end, 5~ page up, 6~ page down, 7~ 8~ of rxvt */
		while (key >= '0' && key <= '9' && read_byte(ESCAPE_MS) != '~')
			key = 0;
		return key == '1' || key == '7' ? KEY_FIRST : key == '4' || key == '8' ? KEY_LAST :
		       key == '5' ? KEY_BACK : key == '6' ? KEY_NEXT : KEY_NONE;
	}
}

static enum key read_key(void)
{
	switch (read_byte(-1)) {
	case 'n':
	case 'l':
	case 'j':
	case ' ':
	case '\r':
	case '\n':
		return KEY_NEXT;
	case 'p':
	case 'h':
	case 'k':
	case 0x7f:
		return KEY_BACK;
	case 'g':
		return KEY_FIRST;
	case 'G':
		return KEY_LAST;
	case 'q':
	case 3: /* ^C */
	case 4:
	case -2:
		return KEY_QUIT;
	case 0x1b:
		return read_escape();
	case -1:
		return KEY_REDRAW;
	default:
		return KEY_NONE;
	}
}

static void show(struct lab_draw *draw, const struct lab_run *run, uint32_t step)
{
	draw->width = view_width();
	fputs("\033[H\033[2J", draw->out);
	terminal_step(draw, run, step);
	paint(draw, "2");
	fprintf(draw->out, "\n %s\n", word_in(WORD_KEYS, draw->lang));
	paint(draw, "0");
	fflush(draw->out);
}

static void walk(struct lab_draw *draw, const struct lab_run *run, uint32_t step)
{
	enum key key = KEY_REDRAW;

	while (key != KEY_QUIT && !ended) {
		uint32_t before = step;

		if (key == KEY_NEXT && step + 1 < run->nr_states)
			step++;
		else if (key == KEY_BACK && step)
			step--;
		else if (key == KEY_FIRST)
			step = 0;
		else if (key == KEY_LAST)
			step = run->nr_states - 1;
		if (step != before || key == KEY_REDRAW || resized) {
			resized = 0;
			show(draw, run, step);
		}
		key = read_key();
	}
}

bool view_run(struct lab_draw *draw, const struct lab_run *run, uint32_t first)
{
	static const int signals[] = { SIGWINCH, SIGTERM, SIGHUP, SIGINT };
	struct sigaction action = { .sa_handler = on_signal }, old[4];
	sigset_t ours;
	struct termios before, raw;

	if (!run->nr_states || tcgetattr(STDIN_FILENO, &before))
		return false;
	raw = before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw))
		return false;
	sigemptyset(&ours);
	for (int i = 0; i < 4; i++) {
		sigaddset(&ours, signals[i]);
		sigaction(signals[i], &action, &old[i]);
	}
	sigprocmask(SIG_BLOCK, &ours, &outside);
	fputs(ALTERNATE_SCREEN, draw->out);
	walk(draw, run, first);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	fputs(NORMAL_SCREEN, draw->out);
	fflush(draw->out);
	for (int i = 0; i < 4; i++)
		sigaction(signals[i], &old[i], NULL);
	sigprocmask(SIG_SETMASK, &outside, NULL);
	if (ended)
		raise(ended);
	return true;
}
