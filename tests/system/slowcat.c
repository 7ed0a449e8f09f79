/* SPDX-License-Identifier: GPL-2.0-only */
/* slowcat BYTES MS: copies stdin to stdout, that many bytes in that many milliseconds and not faster. */
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static char bytes[1 << 16];
	size_t max = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
	ssize_t n;

	if (!max || max > sizeof(bytes))
		return 2;
	while ((n = read(STDIN_FILENO, bytes, max)) > 0) {
		if (write(STDOUT_FILENO, bytes, (size_t)n) != n)
			return 1;
		usleep((useconds_t)strtoul(argv[2], NULL, 10) * 1000);
	}
	return n < 0;
}
