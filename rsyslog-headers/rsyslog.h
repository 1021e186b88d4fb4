/* rsyslog's module ABI as imrzmq and omrzmq use it: our own description, one header a subject.

 * asserts.c holds the measured sizes and offsets against it in every build. */
#include "codes.h"
#include "config.h"
#include "message.h"
#include "interfaces.h"
#include "module.h"

/* used around every callback (pthread.h) */
int pthread_setcancelstate(int state, int *oldstate);
