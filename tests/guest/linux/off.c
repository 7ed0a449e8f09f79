/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The shortest user space there is, for measuring a boot (rdinit=/tests/off): says that it runs and
 * powers the machine off.
 */
#include <sys/reboot.h>
#include <unistd.h>

int main(void)
{
	static const char msg[] = "off: user space runs\n";

	if (write(STDOUT_FILENO, msg, sizeof(msg) - 1) < 0)
		return 1;
	reboot(RB_POWER_OFF);
	return 1;
}
