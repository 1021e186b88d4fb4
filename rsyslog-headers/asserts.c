/* The measured facts, held against our description each time it is compiled; and with UPSTREAM defined as a
 * release (2608 for 8.2608.0), against rsyslog's own headers of that one (scripts/abi-check). Each row
 * names itself when it does not hold. */
#ifdef UPSTREAM
#include "upstream.h"
#else
#include "rsyslog.h"
#define COMMON(member) common.member
/* an enum of upstream's, here the number it is in a call */
typedef int statsCtrType_t;
#endif

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), "sizeof " #type)
#define AT(type, member, offset) \
	_Static_assert(offsetof(type, member) == (offset), "offset of " #type "." #member)
/* room for the core's own in each release, and for what a later one may add: the core writes all of it */
#ifdef UPSTREAM
#define ROOM(type, bytes) _Static_assert(sizeof(type) <= (bytes), "room for " #type)
#else
#define ROOM(type, bytes) _Static_assert(sizeof(type) >= (bytes), "room for " #type)
#endif
#define IS(name, value) _Static_assert((name) == (value), "value of " #name)
#define CALL(function, ...) \
	_Static_assert(__builtin_types_compatible_p(__typeof__(&function), __VA_ARGS__), \
		       "signature of " #function)
#define MEMBER(type, member, ...) \
	_Static_assert(__builtin_types_compatible_p(__typeof__(((type *)0)->member), __VA_ARGS__), \
		       "signature of " #type "." #member)

/* the same on every 64-bit machine */
SIZE(struct cnfparamdescr, 16);
AT(struct cnfparamdescr, name, 0);
AT(struct cnfparamdescr, type, 8);
AT(struct cnfparamdescr, flags, 12);
SIZE(struct cnfparamblk, 16);
AT(struct cnfparamblk, version, 0);
AT(struct cnfparamblk, nParams, 2);
AT(struct cnfparamblk, descr, 8);
SIZE(struct cnfparamvals, 24);
AT(struct cnfparamvals, val, 0);
AT(struct cnfparamvals, bUsed, 16);
SIZE(struct svar, 16);
AT(struct svar, d, 0);
AT(struct svar, datatype, 8);
SIZE(struct cnfarray, 16);
AT(struct cnfarray, nmemb, 4);
AT(struct cnfarray, arr, 8);
SIZE(es_str_t, 8);
AT(es_str_t, lenStr, 0);
AT(es_str_t, lenBuf, 4);
SIZE(actWrkrIParams_t, 16);
AT(actWrkrIParams_t, param, 0);
AT(actWrkrIParams_t, lenBuf, 8);
AT(actWrkrIParams_t, lenStr, 12);
SIZE(multi_submit_t, 16);
AT(multi_submit_t, maxElem, 0);
AT(multi_submit_t, nElem, 2);
AT(multi_submit_t, ppMsgs, 8);
ROOM(obj_if_t, 512);
AT(obj_if_t, UseObj, 8);
AT(obj_if_t, ReleaseObj, 16);
MEMBER(obj_if_t, UseObj, rsRetVal (*)(const char *, uchar *, uchar *, interface_t *));
AT(glbl_if_t, GetMaxLine, 16);
AT(glbl_if_t, GetGlobalInputTermState, 136);
MEMBER(glbl_if_t, GetMaxLine, int (*)(rsconf_t *));
MEMBER(glbl_if_t, GetGlobalInputTermState, int (*)(void));
ROOM(glbl_if_t, 512);
ROOM(prop_if_t, 512);
AT(prop_if_t, Construct, 16);
AT(prop_if_t, ConstructFinalize, 24);
AT(prop_if_t, Destruct, 32);
AT(prop_if_t, SetString, 40);
MEMBER(prop_if_t, Construct, rsRetVal (*)(prop_t **));
MEMBER(prop_if_t, ConstructFinalize, rsRetVal (*)(prop_t *));
MEMBER(prop_if_t, Destruct, rsRetVal (*)(prop_t **));
MEMBER(prop_if_t, SetString, rsRetVal (*)(prop_t *, const uchar *, const int));
AT(datetime_if_t, getCurrTime, 8);
AT(datetime_if_t, ParseTIMESTAMP3339, 16);
MEMBER(datetime_if_t, getCurrTime, void (*)(struct syslogTime *, time_t *, const int));
MEMBER(datetime_if_t, ParseTIMESTAMP3339, rsRetVal (*)(struct syslogTime *, uchar **, int *));
ROOM(datetime_if_t, 512);
SIZE(struct syslogTime, 24);
ROOM(parser_if_t, 512);
AT(parser_if_t, ParseMsg, 96);
MEMBER(parser_if_t, ParseMsg, rsRetVal (*)(smsg_t *));
ROOM(ruleset_if_t, 512);
AT(ruleset_if_t, GetParserList, 112);
MEMBER(ruleset_if_t, GetParserList, parserList_t *(*)(rsconf_t *, smsg_t *));

/* the statistics have a layout for each version */
#define STATISTICS(type) \
	MEMBER(type, COMMON(Construct), rsRetVal (*)(statsobj_t **)); \
	MEMBER(type, COMMON(ConstructFinalize), rsRetVal (*)(statsobj_t *)); \
	MEMBER(type, COMMON(Destruct), rsRetVal (*)(statsobj_t **)); \
	MEMBER(type, COMMON(SetName), rsRetVal (*)(statsobj_t *, uchar *)); \
	MEMBER(type, COMMON(SetOrigin), rsRetVal (*)(statsobj_t *, uchar *)); \
	MEMBER(type, AddCounter, \
	       rsRetVal (*)(statsobj_t *, const uchar *, statsCtrType_t, int8_t, void *))
#if !defined(UPSTREAM) || statsobjCURR_IF_VERSION == 13
ROOM(statsobj_if_v13_t, 512);
AT(statsobj_if_v13_t, COMMON(Construct), 16);
AT(statsobj_if_v13_t, COMMON(ConstructFinalize), 24);
AT(statsobj_if_v13_t, COMMON(Destruct), 32);
AT(statsobj_if_v13_t, COMMON(SetName), 40);
AT(statsobj_if_v13_t, COMMON(SetOrigin), 48);
AT(statsobj_if_v13_t, AddCounter, 88);
STATISTICS(statsobj_if_v13_t);
#endif
#if !defined(UPSTREAM) || statsobjCURR_IF_VERSION == 16
ROOM(statsobj_if_v16_t, 512);
AT(statsobj_if_v16_t, COMMON(Construct), 16);
AT(statsobj_if_v16_t, COMMON(ConstructFinalize), 24);
AT(statsobj_if_v16_t, COMMON(Destruct), 32);
AT(statsobj_if_v16_t, COMMON(SetName), 40);
AT(statsobj_if_v16_t, COMMON(SetOrigin), 48);
AT(statsobj_if_v16_t, AddCounter, 104);
STATISTICS(statsobj_if_v16_t);
#endif
#if !defined(UPSTREAM) || statsobjCURR_IF_VERSION == 17
ROOM(statsobj_if_v17_t, 512);
AT(statsobj_if_v17_t, AddCounter, 112);
STATISTICS(statsobj_if_v17_t);
#endif
#ifndef UPSTREAM
/* seen in the binary of 8.2610.0 alone, as abi/probe.c does again: no source was public */
AT(rsconf_8_2610_t, inputStartupPolicy, 72);
#endif

/* the message: pthread_mutex_t is 40 bytes on x86-64, 48 on aarch64 */
#if defined(__x86_64__)
#define BEHIND_MUTEX(offset) (offset)
#elif defined(__aarch64__)
#define BEHIND_MUTEX(offset) ((offset) + 8)
#else
#error "rsyslog's message layout was measured on x86-64 and aarch64 only"
#endif
/* one more pointer, pRcvFromPort, lies before the times from 8.2510 on; ours is without, and src/host/early.rs
 * looks in both places */
#if defined(UPSTREAM) && UPSTREAM >= 2510
#define BEHIND_PORT(offset) BEHIND_MUTEX((offset) + 8)
#else
#define BEHIND_PORT(offset) BEHIND_MUTEX(offset)
#endif
#ifndef RZMQ_FOREIGN_LAYOUT
AT(smsg_t, flowCtlType, 16);
AT(smsg_t, iRefCount, BEHIND_MUTEX(64));
AT(smsg_t, iSeverity, BEHIND_MUTEX(70));
AT(smsg_t, offMSG, BEHIND_MUTEX(80));
AT(smsg_t, msgFlags, BEHIND_MUTEX(88));
AT(smsg_t, iLenRawMsg, BEHIND_MUTEX(92));
AT(smsg_t, tRcvdAt, BEHIND_PORT(272));
AT(smsg_t, tTIMESTAMP, BEHIND_PORT(296));
#endif

/* codes, flags and versions */
IS(RS_RET_OK, 0);
IS(RS_RET_NO_RUN, 3);
IS(RS_RET_OUT_OF_MEMORY, -6);
IS(RS_RET_PARAM_ERROR, -1000);
IS(RS_RET_ENTRY_POINT_NOT_FOUND, -1003);
IS(RS_RET_MODULE_ENTRY_POINT_NOT_FOUND, -1004);
IS(RS_RET_DISCARDMSG, -2002);
IS(RS_RET_INCOMPATIBLE, -2003);
IS(RS_RET_DISABLE_ACTION, -2006);
IS(RS_RET_SUSPENDED, -2007);
IS(RS_RET_CONFIG_ERROR, -2046);
IS(RS_RET_INTERFACE_NOT_SUPPORTED, -2054);
IS(RS_RET_MISSING_CNFPARAMS, -2211);
IS(RS_RET_LEGA_ACT_NOT_SUPPORTED, -2215);
IS(RS_RET_ERR, -3000);
IS(CURR_MOD_IF_VERSION, 6);
IS(eMOD_IN, 0);
IS(eMOD_OUT, 1);
IS(eMOD_NOKEEP, 0);
IS(eMOD_KEEP, 1);
IS(sFEATURERepeatedMsgReduction, 1);
IS(sFEATURENonCancelInputTermination, 2);
IS(sFEATUREAutomaticSanitazion, 3);
IS(sFEATUREAutomaticPRIParsing, 4);
IS(NEEDS_PARSING, 16);
IS(PARSE_HOSTNAME, 32);
IS(NEEDS_DNSRESOL, 64);
IS(eFLOWCTL_NO_DELAY, 0);
IS(eFLOWCTL_LIGHT_DELAY, 1);
IS(eFLOWCTL_FULL_DELAY, 2);
IS(OMSR_NO_RQD_TPL_OPTS, 0);
IS(CONF_OMOD_NUMSTRINGS_MAXSIZE, 5);
IS(eCmdHdlrString, 14);
IS(eCmdHdlrArray, 15);
IS(CNFPARAM_REQUIRED, 1);
IS(CNFPARAMBLK_VERSION, 1);
IS(ctrType_IntCtr, 0);
IS(CTR_FLAG_RESETTABLE, 1);
IS(objCURR_IF_VERSION, 2);
IS(propCURR_IF_VERSION, 1);
IS(datetimeCURR_IF_VERSION, 11);
IS(parserCURR_IF_VERSION, 3);
IS(rulesetCURR_IF_VERSION, 8);
IS(TIME_IN_LOCALTIME, 0);

/* what rsyslogd exports */
CALL(msgConstruct, rsRetVal (*)(smsg_t **));
CALL(msgConstructWithTime, rsRetVal (*)(smsg_t **, const struct syslogTime *, time_t));
CALL(msgDestruct, rsRetVal (*)(smsg_t **));
CALL(MsgSetRawMsg, void (*)(smsg_t *, const char *, size_t));
CALL(MsgSetInputName, void (*)(smsg_t *, prop_t *));
CALL(MsgSetFlowControlType, rsRetVal (*)(smsg_t *, flowControl_t));
CALL(MsgSetRuleset, void (*)(smsg_t *, ruleset_t *));
CALL(MsgSetRcvFrom, void (*)(smsg_t *, prop_t *));
CALL(MsgSetRcvFromIP, rsRetVal (*)(smsg_t *, prop_t *));
CALL(msgSetPRI, void (*)(smsg_t *, unsigned short));
CALL(MsgSetAfterPRIOffs, rsRetVal (*)(smsg_t *, int));
CALL(MsgSetHOSTNAME, void (*)(smsg_t *, const uchar *, const int));
CALL(MsgSetTAG, void (*)(smsg_t *, const uchar *, const size_t));
CALL(MsgSetMSGoffs, void (*)(smsg_t *, int));
CALL(getHOSTNAME, const char *(*)(smsg_t *));
CALL(getTAG, void (*)(smsg_t *, uchar **, int *, signed char));
CALL(getMSG, uchar *(*)(smsg_t *));
CALL(msgAddJSON, rsRetVal (*)(smsg_t *, uchar *, struct fjson_object *, int, int));
CALL(submitMsg2, rsRetVal (*)(smsg_t *));
CALL(multiSubmitMsg2, rsRetVal (*)(multi_submit_t *));
CALL(ratelimitNew, rsRetVal (*)(ratelimit_t **, const char *, const char *));
CALL(ratelimitSetLinuxLike, void (*)(ratelimit_t *, unsigned, unsigned));
CALL(ratelimitAddMsg, rsRetVal (*)(ratelimit_t *, multi_submit_t *, smsg_t *));
CALL(ratelimitDestruct, void (*)(ratelimit_t *));
CALL(rulesetGetRuleset, rsRetVal (*)(rsconf_t *, ruleset_t **, uchar *));
CALL(glblGetWorkDirRaw, const uchar *(*)(rsconf_t *));
CALL(LogError, void (*)(int, int, const char *, ...));
CALL(LogMsg, void (*)(int, int, int, const char *, ...));
CALL(tplFind, struct template *(*)(rsconf_t *, char *, int));
CALL(tplAddLine, struct template *(*)(rsconf_t *, const char *, uchar **));
CALL(OMSRconstruct, rsRetVal (*)(omodStringRequest_t **, int));
CALL(OMSRdestruct, rsRetVal (*)(omodStringRequest_t *));
CALL(OMSRsetEntry, rsRetVal (*)(omodStringRequest_t *, int, uchar *, int));
CALL(nvlstGetParams, struct cnfparamvals *(*)(struct nvlst *, struct cnfparamblk *,
					      struct cnfparamvals *));
CALL(cnfparamvalsDestruct, void (*)(const struct cnfparamvals *, const struct cnfparamblk *));

/* what is looked up by name, as src/host calls it */
#ifdef UPSTREAM
CALL(glblGetOversizeMsgInputMode, int (*)(rsconf_t *));
#if UPSTREAM >= 2602
CALL(ratelimitNewFromConfig,
     rsRetVal (*)(ratelimit_t **, rsconf_t *, const char *, const char *, const char *));
#endif
#if UPSTREAM >= 2608
CALL(rsconfShouldDelayReadyNotify, int (*)(rsconf_t *));
CALL(rsconfNeedDropPriv, int (*)(rsconf_t *));
AT(rsconf_t, globals.systemdNotifyReadyDelay, offsetof(rsconf_t, globals.compatDefaultsSecure) + 4);
AT(rsconf_t, globals.uidDropPriv, offsetof(rsconf_t, globals.compatDefaultsSecure) + 8);
AT(rsconf_t, globals.gidDropPriv, offsetof(rsconf_t, globals.compatDefaultsSecure) + 12);
IS(COMPAT_DEFAULTS_SECURE_STRICT, 0);
IS(COMPAT_DEFAULTS_SECURE_WARN, 2);
#endif
#endif
