/* Return codes and flags of rsyslog's module ABI, as far as the two modules use them.
 *
 * Checked on 8.2302.0, 8.2504.0, 8.2608.0 and 8.2610.0: the values are the same in all four.
 * Upstream: runtime/rsyslog.h (codes, features), runtime/msg.h (message flags),
 * runtime/typedefs.h (parameter types, flow control), runtime/module-template.h.
 */
#ifndef RZMQ_CODES_H
#define RZMQ_CODES_H

typedef int rsRetVal;
typedef unsigned char uchar;

/* return codes (runtime/rsyslog.h, enum rsRetVal_) */
enum {
	RS_RET_OK = 0,
	RS_RET_NO_RUN = 3,
	RS_RET_OUT_OF_MEMORY = -6,
	RS_RET_PARAM_ERROR = -1000,
	RS_RET_ENTRY_POINT_NOT_FOUND = -1003,
	RS_RET_MODULE_ENTRY_POINT_NOT_FOUND = -1004,
	RS_RET_DISCARDMSG = -2002,
	RS_RET_INCOMPATIBLE = -2003,
	RS_RET_DISABLE_ACTION = -2006,
	RS_RET_SUSPENDED = -2007,
	RS_RET_CONFIG_ERROR = -2046,
	RS_RET_INTERFACE_NOT_SUPPORTED = -2054,
	RS_RET_MISSING_CNFPARAMS = -2211,
	RS_RET_LEGA_ACT_NOT_SUPPORTED = -2215,
	RS_RET_ERR = -3000
};

/* the only module interface version there is since rsyslog 8 (runtime/modules.h) */
#define CURR_MOD_IF_VERSION 6

/* module types (runtime/modules.h, eModType_t, eModKeepType_t) */
enum { eMOD_IN = 0, eMOD_OUT = 1 };
enum { eMOD_NOKEEP = 0, eMOD_KEEP = 1 };

/* what isCompatibleWithFeature is asked for (runtime/rsyslog.h, syslogFeature) */
enum {
	sFEATURERepeatedMsgReduction = 1,
	sFEATURENonCancelInputTermination = 2,
	sFEATUREAutomaticSanitazion = 3,
	sFEATUREAutomaticPRIParsing = 4
};

/* smsg_t.msgFlags (runtime/msg.h) */
#define NEEDS_PARSING 16
#define PARSE_HOSTNAME 32
#define NEEDS_DNSRESOL 64

/* back-pressure an input accepts (runtime/typedefs.h, flowControl_t) */
typedef enum {
	eFLOWCTL_NO_DELAY = 0,
	eFLOWCTL_LIGHT_DELAY = 1,
	eFLOWCTL_FULL_DELAY = 2
} flowControl_t;

/* options of a template request (runtime/objomsr.h) */
#define OMSR_NO_RQD_TPL_OPTS 0
/* templates an action may ask for (runtime/conf.h) */
#define CONF_OMOD_NUMSTRINGS_MAXSIZE 5

#endif
