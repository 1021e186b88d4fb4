/* The measured facts, held against our description each time it is compiled. */
#include "rsyslog.h"

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), "sizeof " #type)
#define AT(type, member, offset) \
	_Static_assert(offsetof(type, member) == (offset), "offset of " #type "." #member)

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
SIZE(obj_if_t, 128);
AT(obj_if_t, UseObj, 8);
AT(obj_if_t, ReleaseObj, 16);
AT(glbl_if_t, GetMaxLine, 16);
AT(glbl_if_t, GetGlobalInputTermState, 136);
/* never smaller than the core's own, which is 464 to 512 bytes: the core copies all of it */
_Static_assert(sizeof(glbl_if_t) >= 512, "glbl_if_t has room for every release");
SIZE(prop_if_t, 88);
AT(prop_if_t, Construct, 16);
AT(prop_if_t, ConstructFinalize, 24);
AT(prop_if_t, Destruct, 32);
AT(prop_if_t, SetString, 40);
AT(datetime_if_t, getCurrTime, 8);
_Static_assert(sizeof(datetime_if_t) >= 120, "datetime_if_t has room for every release");
SIZE(struct syslogTime, 24);
SIZE(statsobj_if_v13_t, 144);
SIZE(statsobj_if_v16_t, 160);
SIZE(statsobj_if_v17_t, 168);
AT(statsobj_if_v13_t, common.Construct, 16);
AT(statsobj_if_v13_t, common.ConstructFinalize, 24);
AT(statsobj_if_v13_t, common.Destruct, 32);
AT(statsobj_if_v13_t, common.SetName, 40);
AT(statsobj_if_v13_t, common.SetOrigin, 48);
AT(statsobj_if_v13_t, AddCounter, 88);
AT(statsobj_if_v16_t, AddCounter, 104);
AT(statsobj_if_v17_t, AddCounter, 112);

AT(rsconf_8_2610_t, inputStartupPolicy, 72);

/* the message: pthread_mutex_t is 40 bytes on x86-64, 48 on aarch64 */
#if defined(__x86_64__)
#define BEHIND_MUTEX(offset) (offset)
#elif defined(__aarch64__)
#define BEHIND_MUTEX(offset) ((offset) + 8)
#else
#error "rsyslog's message layout was measured on x86-64 and aarch64 only"
#endif
AT(smsg_t, flowCtlType, 16);
AT(smsg_t, iRefCount, BEHIND_MUTEX(64));
AT(smsg_t, iSeverity, BEHIND_MUTEX(70));
AT(smsg_t, offMSG, BEHIND_MUTEX(80));
AT(smsg_t, msgFlags, BEHIND_MUTEX(88));
AT(smsg_t, iLenRawMsg, BEHIND_MUTEX(92));
