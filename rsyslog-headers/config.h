/* How the core hands configuration parameters to a module.
 *
 * Checked on 8.2302.0, 8.2504.0, 8.2608.0 and 8.2610.0: the same in all four.
 * Upstream: grammar/rainerscript.h; es_str_t: libestr.h of libestr (length, buffer length, bytes).
 */
#ifndef RZMQ_CONFIG_H
#define RZMQ_CONFIG_H

#include "codes.h"

/* ecslCmdHdrlType (runtime/typedefs.h): only the two kinds the tables use.
 * Text comes as it is written, so that our own message can name the value. */
enum { eCmdHdlrString = 14, eCmdHdlrArray = 15 };

#define CNFPARAM_REQUIRED 1
#define CNFPARAMBLK_VERSION 1

struct cnfparamdescr {
	const char *name;
	int type;
	unsigned flags;
};

struct cnfparamblk {
	unsigned short version;
	unsigned short nParams;
	struct cnfparamdescr *descr;
};

/* the bytes follow the struct; they are not NUL-terminated */
typedef struct {
	unsigned lenStr;
	unsigned lenBuf;
} es_str_t;

struct cnfarray {
	unsigned nodetype;
	int nmemb;
	es_str_t **arr;
};

struct svar {
	union {
		es_str_t *estr;
		struct cnfarray *ar;
		long long n;
	} d;
	char datatype; /* 'S' text, 'A' array, 'N' number */
};

struct cnfparamvals {
	struct svar val;
	unsigned char bUsed;
};

struct nvlst; /* the name=value list of a statement */

struct cnfparamvals *nvlstGetParams(struct nvlst *lst, struct cnfparamblk *params,
				    struct cnfparamvals *vals);
void cnfparamvalsDestruct(const struct cnfparamvals *paramvals, const struct cnfparamblk *blk);

#endif
