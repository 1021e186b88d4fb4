/* Interfaces of the core, obtained by name and exact version through obj_if_t.UseObj.
 *
 * Upstream: runtime/obj.h, runtime/glbl.h, runtime/prop.h, runtime/statsobj.h, runtime/ruleset.h,
 * runtime/datetime.h, runtime/parser.h.
 * Members that the modules do not call are void pointers that keep the place; `rest` is more than any
 * release has. The core fills in what it knows, and an interface has grown at its end under the same
 * version (datetime): without room it would write behind the struct.
 *
 *              8.2302.0  8.2504.0  8.2608.0  8.2610.0
 * glbl            10        10        11        11      the part described here is the same
 * prop             1         1         1         1
 * datetime        11        11        11        11      112 to 120 bytes; the part described is the same
 * statsobj        13        13        16        17      three layouts
 * parser           3         3         3         3
 * ruleset          8         8         8         8
 *
 * UseObj grants one version only, and leaves 2 in ifIsLoaded after a refusal: zero it before the
 * next try, or that try fails as well.
 */
#ifndef RZMQ_INTERFACES_H
#define RZMQ_INTERFACES_H

#include <stdint.h>
#include <time.h>
#include "codes.h"
#include "message.h"

typedef struct rsconf_s rsconf_t;
typedef struct statsobj_s statsobj_t;

/* every interface begins like this */
typedef struct {
	int ifVersion;
	int ifIsLoaded;
} interface_t;

typedef struct {
	interface_t head;
	rsRetVal (*UseObj)(const char *srcFile, uchar *pObjName, uchar *pObjFile, interface_t *pIf);
	rsRetVal (*ReleaseObj)(const char *srcFile, uchar *pObjName, uchar *pObjFile, interface_t *pIf);
	void *rest[61];
} obj_if_t;
#define objCURR_IF_VERSION 2

typedef struct {
	interface_t head;
	void *GetWorkDir;
	int (*GetMaxLine)(rsconf_t *cnf);
	void *to_term_state[14];
	int (*GetGlobalInputTermState)(void);
	void *rest[47];
} glbl_if_t;

typedef struct {
	interface_t head;
	void *DebugPrint;
	rsRetVal (*Construct)(prop_t **ppThis);
	rsRetVal (*ConstructFinalize)(prop_t *pThis);
	rsRetVal (*Destruct)(prop_t **ppThis);
	rsRetVal (*SetString)(prop_t *pThis, const uchar *psz, int len);
	void *rest[58];
} prop_if_t;
#define propCURR_IF_VERSION 1

typedef struct {
	interface_t head;
	void (*getCurrTime)(struct syslogTime *t, time_t *ttSeconds, const int inUTC);
	rsRetVal (*ParseTIMESTAMP3339)(struct syslogTime *pTime, uchar **ppszTS, int *pLenStr);
	void *rest[61];
} datetime_if_t;
#define datetimeCURR_IF_VERSION 11
#define TIME_IN_LOCALTIME 0

typedef struct {
	interface_t head;
	void *to_parse[11];
	rsRetVal (*ParseMsg)(smsg_t *pMsg);
	void *rest[51];
} parser_if_t;
#define parserCURR_IF_VERSION 3

typedef struct parserList_s parserList_t;

typedef struct {
	interface_t head;
	void *to_parsers[13];
	parserList_t *(*GetParserList)(rsconf_t *conf, smsg_t *pMsg);
	void *rest[49];
} ruleset_if_t;
#define rulesetCURR_IF_VERSION 8

/* a counter is a 64-bit unsigned number of ours that the core reads (ctrType_IntCtr) */
enum { ctrType_IntCtr = 0, ctrType_Int = 1 };
#define CTR_FLAG_NONE 0
#define CTR_FLAG_RESETTABLE 1

/* the part of statsobj that is the same in every version */
typedef struct {
	interface_t head;
	void *DebugPrint;
	rsRetVal (*Construct)(statsobj_t **ppThis);
	rsRetVal (*ConstructFinalize)(statsobj_t *pThis);
	rsRetVal (*Destruct)(statsobj_t **ppThis);
	rsRetVal (*SetName)(statsobj_t *pThis, uchar *name);
	rsRetVal (*SetOrigin)(statsobj_t *pThis, uchar *name);
} statsobj_common_t;

typedef rsRetVal (*statsobj_AddCounter_t)(statsobj_t *pThis, const uchar *ctrName, int ctrType,
					  int8_t flags, void *pCtr);

typedef struct {
	statsobj_common_t common;
	void *to_add_counter[4];
	statsobj_AddCounter_t AddCounter;
	void *rest[52];
} statsobj_if_v13_t;

typedef struct {
	statsobj_common_t common;
	void *to_add_counter[6];
	statsobj_AddCounter_t AddCounter;
	void *rest[50];
} statsobj_if_v16_t;

typedef struct {
	statsobj_common_t common;
	void *to_add_counter[7];
	statsobj_AddCounter_t AddCounter;
	void *rest[49];
} statsobj_if_v17_t;

/* global(inputStartupPolicy=…): 0 best-effort, 1 require-all. Only 8.2610.0 is known to have it
 * (statsobj 17), there is no getter, and no source was public: the place was read off the binary of
 * Debian sid (glblDoneLoadCnf) and proven by behaviour. Not looked at in any other release. */
typedef struct {
	char before[72];
	int inputStartupPolicy;
} rsconf_8_2610_t;

/* exported by rsyslogd */
rsRetVal rulesetGetRuleset(rsconf_t *conf, ruleset_t **ppRuleset, uchar *pszName);
/* the work directory as text, NULL when none is set (runtime/glbl.h) */
const uchar *glblGetWorkDirRaw(rsconf_t *cnf);
/* errno (0 = none), code (0 = none), then as printf (runtime/errmsg.h) */
void LogError(int iErrno, int iErrCode, const char *fmt, ...);
void LogMsg(int iErrno, int iErrCode, int severity, const char *fmt, ...);

#endif
