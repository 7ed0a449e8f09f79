/* SPDX-License-Identifier: GPL-2.0-only */
/* Bytes between a TLS connection and a plain socket, both ways, each end passed on. */
#ifndef LKVM_TLS_RELAY_H
#define LKVM_TLS_RELAY_H

#include <openssl/ssl.h>

#include "util/err.h"

/* @net does not block. Until both ways have ended; -ECONNRESET: the line ended before TLS's own end of it came. */
int relay(SSL *ssl, int net, int plain, struct err *err);

#endif
