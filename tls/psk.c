/* SPDX-License-Identifier: GPL-2.0-only */
#include "tls/psk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* NULL, or what is wrong with it. */
static const char *parse_line(const char *line, size_t len, struct psk *out)
{
	const char *colon = memchr(line, ':', len);
	size_t id = colon ? (size_t)(colon - line) : 0, digits;

	if (!id)
		return "is not IDENTITY:KEY";
	if (id > PSK_IDENTITY_MAX)
		return "has an identity of more than 128 bytes";
	for (size_t i = 0; i < id; i++)
		if (line[i] <= ' ' || line[i] > '~')
			return "has an identity with something else than printable characters in it";
	digits = len - id - 1;
	if (digits % 2 || digits / 2 < PSK_KEY_MIN || digits / 2 > PSK_KEY_MAX)
		return "has no key of 16 to 64 bytes, two hexadecimal digits each";
	memset(out, 0, sizeof(*out));
	memcpy(out->identity, line, id);
	for (size_t i = 0; i < digits; i += 2) {
		int high = nibble(colon[1 + i]), low = nibble(colon[2 + i]);

		if (high < 0 || low < 0)
			return "has a key that is not hexadecimal";
		out->key[out->len++] = (uint8_t)(high << 4 | low);
	}
	return NULL;
}

int psk_parse(const char *name, const char *text, size_t len, struct psks *out, struct err *err)
{
	const char *wrong = NULL;
	unsigned int number = 0;
	int rc = 0;

	out->n = 0;
	for (size_t at = 0, n; at < len && !wrong; at += n + 1) {
		const char *end = memchr(text + at, '\n', len - at);

		n = end ? (size_t)(end - text) - at : len - at;
		number++;
		if (!n || text[at] == '#')
			continue;
		if (out->n == PSK_KEYS_MAX) {
			wrong = "is one too many: 64 keys at most";
			break;
		}
		wrong = parse_line(text + at, n, &out->all[out->n]);
		if (!wrong &&
		    psk_find(out, out->all[out->n].identity, strlen(out->all[out->n].identity)))
			wrong = "names an identity for the second time";
		if (!wrong)
			out->n++;
	}
	if (wrong)
		rc = err_set(err, -EINVAL, "%s: line %u %s", name, number, wrong);
	else if (!out->n)
		rc = err_set(err, -EINVAL, "%s: no key in it; psktool -u NAME -p FILE makes one",
			     name);
	if (rc)
		psk_wipe(out);
	return rc;
}

static int check_mode(int fd, const char *path, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "%s", path);
	if (!S_ISREG(st.st_mode) || st.st_size > PSK_FILE_MAX)
		return err_set(err, -EINVAL, "%s: not a file of keys", path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(err, -EPERM, "%s belongs to uid %u, who knows the keys in it", path,
			       (unsigned int)st.st_uid);
	if (st.st_mode & 077)
		return err_set(err, -EPERM,
			       "%s has mode %04o, others can get at the keys in it: chmod 600 it",
			       path, (unsigned int)(st.st_mode & 07777));
	return 0;
}

int psk_load(const char *path, struct psks *out, struct err *err)
{
	char text[PSK_FILE_MAX];
	size_t len = 0;
	ssize_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc;

	if (fd < 0)
		return err_sys(err, -errno, "%s", path);
	rc = check_mode(fd, path, err);
	while (!rc && len < sizeof(text)) {
		n = read(fd, text + len, sizeof(text) - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (!rc && n < 0)
		rc = err_sys(err, -errno, "%s", path);
	close(fd);
	if (!rc)
		rc = psk_parse(path, text, len, out, err);
	explicit_bzero(text, sizeof(text));
	return rc;
}

const struct psk *psk_find(const struct psks *psks, const void *identity, size_t len)
{
	for (size_t i = 0; i < psks->n; i++)
		if (strlen(psks->all[i].identity) == len &&
		    !memcmp(psks->all[i].identity, identity, len))
			return &psks->all[i];
	return NULL;
}

void psk_wipe(struct psks *psks)
{
	explicit_bzero(psks, sizeof(*psks));
}
