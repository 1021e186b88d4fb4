/* Messages: how an input makes one and hands it over.
 *
 * Functions: exported by rsyslogd 8.2302.0 to 8.2610.0 with these signatures.
 * Upstream: runtime/msg.h, runtime/rsyslog.h (multi_submit_t), runtime/ratelimit.h, tools/rsyslogd.c.
 */
#ifndef RZMQ_MESSAGE_H
#define RZMQ_MESSAGE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include "codes.h"

typedef struct prop_s prop_t;
typedef struct ruleset_s ruleset_t;
typedef struct ratelimit_s ratelimit_t;
struct fjson_object;

/* struct syslogTime (runtime/syslogd-types.h) as far as it matters here: how large it is, and aligned
 * as an int */
struct syslogTime {
	uint32_t parts[6];
};

/* The beginning of smsg_t (runtime/msg.h, struct msg) up to its two times, as builds with NDEBUG have
 * it; every distribution's is one. Two members have no exported setter, and nothing is written to
 * either before its place is proven: msgFlags at load (src/host/layout.rs), tTIMESTAMP before lines
 * are parsed as they come in (src/host/early.rs). From 8.2608 on the two times lie 8 bytes further
 * (seen; there was no source).
 * On aarch64 pthread_mutex_t is 8 bytes larger, which moves what follows; using the type itself
 * keeps this description right there too. */
typedef struct {
#ifdef RZMQ_FOREIGN_LAYOUT
	void *cookie; /* as builds without NDEBUG have it; for tests alone */
#endif
	void *pObjInfo;
	uchar *pszName;
	flowControl_t flowCtlType;
	pthread_mutex_t mut;
	int iRefCount;
	signed char bParseSuccess;
	unsigned short iSeverity;
	unsigned short iFacility;
	int offAfterPRI;
	int offMSG;
	short iProtocolVersion;
	int msgFlags;
	int iLenRawMsg;
	int lengths[4];
	void *texts[10];
	uchar *pszStrucData;
	uint16_t lenStrucData;
	void *fields[6];
	ruleset_t *pRuleset;
	time_t ttGenTime;
	struct syslogTime tRcvdAt;
	struct syslogTime tTIMESTAMP;
} smsg_t;

/* one enqueue for many messages; all go to the ruleset of the first */
typedef struct {
	short maxElem;
	short nElem;
	smsg_t **ppMsgs;
} multi_submit_t;

rsRetVal msgConstruct(smsg_t **ppThis);
/* the same with a time of reception that was asked for once for many messages */
rsRetVal msgConstructWithTime(smsg_t **ppThis, const struct syslogTime *stTime,
			      const time_t ttGenTime);
rsRetVal msgDestruct(smsg_t **ppM);
void MsgSetRawMsg(smsg_t *pThis, const char *pszRawMsg, size_t lenMsg);
void MsgSetInputName(smsg_t *pMsg, prop_t *inputName);
rsRetVal MsgSetFlowControlType(smsg_t *pMsg, flowControl_t eFlowCtl);
void MsgSetRuleset(smsg_t *pMsg, ruleset_t *pRuleset);
void MsgSetRcvFrom(smsg_t *pMsg, prop_t *pRcvFrom);
rsRetVal MsgSetRcvFromIP(smsg_t *pMsg, prop_t *pRcvFromIP);
void msgSetPRI(smsg_t *pMsg, unsigned short pri);
rsRetVal MsgSetAfterPRIOffs(smsg_t *pMsg, int offs);
void MsgSetHOSTNAME(smsg_t *pMsg, const uchar *pszHOSTNAME, const int lenHOSTNAME);
void MsgSetTAG(smsg_t *pMsg, const uchar *pszBuf, const size_t lenBuf);
void MsgSetMSGoffs(smsg_t *pMsg, int offs);
const char *getHOSTNAME(smsg_t *pM);
void getTAG(smsg_t *pM, uchar **ppBuf, int *piLen, signed char bLockMutex);
uchar *getMSG(smsg_t *pM);
/* takes over the reference to json */
rsRetVal msgAddJSON(smsg_t *pM, uchar *name, struct fjson_object *json, int force_reset,
		    int sharedReference);

/* submitMsg2 applies maxMessageSize (truncate, split, accept); multiSubmitMsg2 does not.
 * Both take the messages over. */
rsRetVal submitMsg2(smsg_t *pMsg);
rsRetVal multiSubmitMsg2(multi_submit_t *pMultiSub);

rsRetVal ratelimitNew(ratelimit_t **ppThis, const char *modname, const char *dynname);
void ratelimitSetLinuxLike(ratelimit_t *ratelimit, unsigned interval, unsigned burst);
/* answers RS_RET_DISCARDMSG, and destroys the message, when the rate is exceeded */
rsRetVal ratelimitAddMsg(ratelimit_t *ratelimit, multi_submit_t *pMultiSub, smsg_t *pMsg);
void ratelimitDestruct(ratelimit_t *pThis);

/* libfastjson (json_object.h), linked by rsyslogd itself in every release */
struct fjson_object *fjson_object_new_object(void);
struct fjson_object *fjson_object_new_string_len(const char *s, int len);
/* the key is not there yet; it is not copied and outlives the object */
#define FJSON_OBJECT_ADD_KEY_IS_NEW 2
#define FJSON_OBJECT_KEY_IS_CONSTANT 4
void fjson_object_object_add_ex(struct fjson_object *obj, const char *key, struct fjson_object *val,
				unsigned opts);

#endif
