/* rsyslog's own headers in the place of ours, for asserts.c: the folders of one release's source come
 * by -I (scripts/abi-check). Never part of a build. */
#ifndef RZMQ_UPSTREAM_H
#define RZMQ_UPSTREAM_H

#include "config.h"
#include "rsyslog.h"
#include <libestr.h>
#include "dirty.h"
#include "module-template.h"
#include "conf.h"
#include "rsconf.h"
#include "msg.h"
#include "glbl.h"
#include "prop.h"
#include "datetime.h"
#include "statsobj.h"
#include "ruleset.h"
#include "parser.h"
#include "ratelimit.h"
#include "errmsg.h"
#include "template.h"
#include "objomsr.h"
#include "rainerscript.h"

/* our names for what upstream has one name for in every release */
#define COMMON(member) member
#define statsobj_if_v13_t statsobj_if_t
#define statsobj_if_v16_t statsobj_if_t
#define statsobj_if_v17_t statsobj_if_t

#endif
