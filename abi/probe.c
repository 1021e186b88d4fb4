/* Asks a stock rsyslogd what it is made of: loaded as a module (scripts/abi-check), it writes one row a
 * fact to the file named by RZMQ_PROBE, and does not let itself be loaded. Facts are what was seen:
 * interface versions that were granted and how long their tables are, places in a message that changed
 * when its setters were called, functions that are there (names in RZMQ_PROBE_NAMES, with blanks
 * between them).
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../rsyslog-headers/rsyslog.h"

/* exported by every release; the modules have no use for it */
smsg_t *MsgAddRef(smsg_t *pM);

#define NEWEST 60 /* interface versions that are tried */
#define LEAST 624 /* bytes of a message, or more */
#define SEEN 128  /* bytes of it that are looked at for what setters do */
#define BEGIN 64  /* numbers at the beginning of a configuration, which is larger */

static FILE *out;

static int granted(obj_if_t *objects, const char *name, void *table, size_t size, int version)
{
	interface_t *head = table;
	memset(table, 0, size);
	head->ifVersion = version;
	return objects->UseObj("probe", (uchar *)name, NULL, head) == RS_RET_OK;
}

/* The bytes of a table: it is ours and was empty, so that what is there now was written by the core. All are
 * pointers, whose last bytes are 0. */
static size_t filled(const char *table, size_t size)
{
	while (size > sizeof(interface_t) && table[size - 1] == 0)
		size--;
	return (size + sizeof(void *) - 1) / sizeof(void *) * sizeof(void *);
}

static void versions(obj_if_t *objects, const char *name)
{
	static char table[4096];
	int version;
	for (version = 1; version <= NEWEST; version++)
		if (granted(objects, name, table, sizeof(table), version))
			fprintf(out, "interface %s\t%d:%zu\n", name, version, filled(table, sizeof(table)));
}

/* the place of a value of so many bytes that is there now and was not before */
static int place(const char *before, const smsg_t *message, const void *value, size_t size)
{
	size_t at;
	for (at = 0; at + size <= SEEN; at += size)
		if (memcmp((const char *)message + at, value, size) == 0 &&
		    memcmp(before + at, value, size) != 0)
			return (int)at;
	return -1;
}

#define FIND(member, call, type, value)                                            \
	do {                                                                       \
		type expected = (value);                                           \
		memcpy(before, message, SEEN);                                     \
		call;                                                              \
		at_##member = place(before, message, &expected, sizeof(expected)); \
		fprintf(out, "smsg_t." #member "\t%d\n", at_##member);             \
	} while (0)

static void message_places(prop_if_t *prop)
{
	char before[SEEN];
	smsg_t *message = NULL, *again;
	prop_t *from = NULL;
	int at_flowCtlType, at_iRefCount, at_iSeverity, at_iFacility, at_offMSG, at_iLenRawMsg, at;
	const char *text = "a message of thirty-three letters";

	if (msgConstruct(&message) != RS_RET_OK || prop->Construct(&from) != RS_RET_OK)
		return;
	prop->SetString(from, (const uchar *)"127.0.0.1", 9);
	prop->ConstructFinalize(from);
	FIND(flowCtlType, MsgSetFlowControlType(message, eFLOWCTL_FULL_DELAY), int, 2);
	FIND(iRefCount, MsgAddRef(message), int, 2);
	FIND(iSeverity, msgSetPRI(message, 21 * 8 + 5), unsigned short, 5);
	msgSetPRI(message, 0);
	FIND(iFacility, msgSetPRI(message, 21 * 8 + 5), unsigned short, 21);
	FIND(offMSG, MsgSetMSGoffs(message, 17), int, 17);
	FIND(iLenRawMsg, MsgSetRawMsg(message, text, strlen(text)), int, 33);
	/* MsgSetRcvFrom clears one bit; only places between these two are written to */
	for (at = at_offMSG + 4; at_offMSG > 0 && at <= at_iLenRawMsg - 4; at += 4) {
		int *flags = (int *)((char *)message + at), was = *flags;
		*flags = NEEDS_PARSING | PARSE_HOSTNAME | NEEDS_DNSRESOL;
		MsgSetRcvFrom(message, from);
		if (*flags == (NEEDS_PARSING | PARSE_HOSTNAME))
			fprintf(out, "smsg_t.msgFlags\t%d\n", at);
		*flags = was;
	}
	again = message; /* MsgAddRef counted it once more */
	msgDestruct(&message);
	msgDestruct(&again);
	prop->Destruct(&from);
}

/* a fresh message has the time of reception twice, the second time until a parser finds another */
static void time_places(void)
{
	static const char *members[] = {"tRcvdAt", "tTIMESTAMP"};
	struct syslogTime time;
	smsg_t *message = NULL;
	size_t at, found = 0;

	memset(&time, 'T', sizeof(time));
	if (msgConstructWithTime(&message, &time, 0) != RS_RET_OK)
		return;
	for (at = 0; at + sizeof(time) <= LEAST && found < 2; at += 4)
		if (memcmp((const char *)message + at, &time, sizeof(time)) == 0) {
			fprintf(out, "smsg_t.%s\t%zu\n", members[found++], at);
			at += sizeof(time) - 4;
		}
	msgDestruct(&message);
}

/* The configuration as it is when the daemon ends, number by number: a setting is where two of them differ, and some
 * are made only when all is read. The library stays until then (-z nodelete). */
__attribute__((destructor)) static void configuration(void)
{
	const char *file = getenv("RZMQ_PROBE");
	int **loading = dlsym(RTLD_DEFAULT, "loadConf");
	size_t at;
	out = file ? fopen(file, "a") : NULL;
	if (out == NULL)
		return;
	fprintf(out, "configuration\t");
	for (at = 0; loading != NULL && *loading != NULL && at < BEGIN; at++)
		fprintf(out, "%d ", (*loading)[at]);
	fprintf(out, "\n");
	fclose(out);
}

static void names(void)
{
	const char *wanted = getenv("RZMQ_PROBE_NAMES");
	char *list = strdup(wanted ? wanted : ""), *name;
	for (name = list ? strtok(list, " ") : NULL; name; name = strtok(NULL, " "))
		fprintf(out, "function %s\t%s\n", name,
			dlsym(RTLD_DEFAULT, name) ? "there" : "missing");
	free(list);
}

rsRetVal modInit(int requested, int *provided, query_entry_point_t *entry_points,
		 query_entry_point_t host, void *info)
{
	static obj_if_t objects;
	static prop_if_t prop;
	get_obj_interface_t get = NULL;
	const char *file = getenv("RZMQ_PROBE");
	(void)entry_points;
	(void)info;

	out = file ? fopen(file, "w") : NULL;
	if (out == NULL)
		return RS_RET_ERR;
	fprintf(out, "module interface\t%d\n", requested);
	*provided = CURR_MOD_IF_VERSION;
	objects.head.ifVersion = objCURR_IF_VERSION;
	if (host((uchar *)"objGetObjInterface", (entry_point_t *)&get) == RS_RET_OK && get &&
	    get(&objects) == RS_RET_OK) {
		versions(&objects, "glbl");
		versions(&objects, "prop");
		versions(&objects, "datetime");
		versions(&objects, "statsobj");
		versions(&objects, "parser");
		versions(&objects, "ruleset");
		if (granted(&objects, "prop", &prop, sizeof(prop), propCURR_IF_VERSION))
			message_places(&prop);
		time_places();
	}
	names();
	fclose(out);
	return RS_RET_ERR;
}
