/* Entry points: what the core calls in a module, found by name through queryEtryPt.
 *
 * Checked on 8.2302.0, 8.2504.0, 8.2608.0 and 8.2610.0. Upstream: runtime/module-template.h,
 * runtime/modules.h, runtime/typedefs.h (actWrkrIParams_t), runtime/objomsr.h.
 */
#ifndef RZMQ_MODULE_H
#define RZMQ_MODULE_H

#include "codes.h"
#include "config.h"
#include "interfaces.h"

/* a name answered with the entry point, or with an error */
typedef rsRetVal (*entry_point_t)(void);
typedef rsRetVal (*query_entry_point_t)(uchar *name, entry_point_t *pEtryPoint);
typedef rsRetVal (*modInit_t)(int iIFVersRequested, int *ipIFVersProvided,
			      query_entry_point_t *pQueryEtryPt,
			      query_entry_point_t pHostQueryEtryPt, void *pModInfo);
/* what the host answers for "objGetObjInterface" */
typedef rsRetVal (*get_obj_interface_t)(obj_if_t *pIf);

/* one template text of one message of a batch: message i, template t is params[i * nTpls + t] */
typedef struct {
	uchar *param;
	unsigned lenBuf;
	unsigned lenStr;
} actWrkrIParams_t;

/* a template by name, NULL when there is none (template.h); conf is the one being loaded */
struct template;
struct template *tplFind(rsconf_t *conf, char *pName, int iLenName);
/* defines one; *ppRestOfConfLine is the format in quotes, as $template has it behind the comma */
struct template *tplAddLine(rsconf_t *conf, const char *pName, uchar **ppRestOfConfLine);

typedef struct omodStringRequest_s omodStringRequest_t;
rsRetVal OMSRconstruct(omodStringRequest_t **ppThis, int iNumEntries);
rsRetVal OMSRdestruct(omodStringRequest_t *pThis);
/* takes over the template's name, which must come from malloc */
rsRetVal OMSRsetEntry(omodStringRequest_t *pThis, int iEntry, uchar *pTplName, int iTplOpts);

#endif
