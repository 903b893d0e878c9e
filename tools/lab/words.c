/* SPDX-License-Identifier: MIT */
/* The pictures' own words, in English and Korean. */
#include "lab/slabs.h"

#include <string.h>

static const char *const words[WORD_NRS][LAB_LANGS] = {
	[WORD_FRAMES] = { "frames", "프레임" },
	[WORD_ORDER] = { "order", "order" },
	[WORD_ORDERS] = { "orders", "order" },
	[WORD_FREE_LIST] = { "free_list", "free_list" },
	[WORD_MAP] = { "map: a bit for each pair", "map: 짝마다 한 비트" },
	[WORD_PER_CPU] = { "per-CPU", "CPU별 목록" },
	[WORD_USED] = { "used", "사용 중" },
	[WORD_FREE] = { "free", "비어 있음" },
	[WORD_RESERVED] = { "reserved", "예약됨" },
	[WORD_OFFLINE] = { "offline", "오프라인" },
	[WORD_HOLE] = { "hole", "구멍" },
	[WORD_CHANGED] = { "changed", "바뀜" },
	[WORD_EMPTY] = { "empty", "비었음" },
	[WORD_NODE] = { "node", "노드" },
	[WORD_ZONE] = { "zone", "존" },
	[WORD_STEP] = { "step", "단계" },
	[WORD_SUMMARY] = { "merges %llu, splits %llu", "병합 %llu번, 분할 %llu번" },
	[WORD_NOT_MERGED] = { "free, not merged", "비었지만 아직 합치지 않음" },
	[WORD_START] = { "start", "시작" },
	[WORD_PRESENT] = { "present", "present" },
	[WORD_SPANNED] = { "spanned", "spanned" },
	[WORD_MANAGED] = { "managed", "managed" },
	[WORD_FREE_FRAMES] = { "free", "free" },
	[WORD_WATERMARKS] = { "min low high", "min low high" },
	[WORD_RESERVE] = { "lowmem_reserve", "lowmem_reserve" },
	[WORD_DISTANCE] = { "distance", "거리" },
	[WORD_CPUS] = { "CPUs", "CPU" },
	[WORD_NOT_TO_SCALE] = { "not to scale", "크기는 비례하지 않음" },
	[WORD_KEYS] = { "n, space, right: on   p, left: back   home, end   q: quit",
			"n, 스페이스, →: 다음   p, ←: 이전   home, end   q: 끝" },
	[WORD_OF] = { "of", "/" },
	[WORD_TOO_LARGE] = { "(larger than what is shown)", "(그림보다 큼)" },
	[WORD_DEFERRED] = { "free, no record yet", "비어 있음(레코드 없음)" },
};

const char *word_in(enum lab_word_id id, enum lab_lang lang)
{
	return words[id][lang];
}

const char *step_title(const struct lab_step *step, enum lab_lang lang)
{
	const char *title = text_in(step->title, lang);

	return *title ? title : step->id;
}

const char *summary_text(const struct lab_state *state, enum lab_lang lang, char *buffer,
			 size_t room)
{
	snprintf(buffer, room, words[WORD_SUMMARY][lang], (unsigned long long)state->merges,
		 (unsigned long long)state->splits);
	return buffer;
}

/* The core's reasons, which are English. */
static const char *reason_in(const char *reason, enum lab_lang lang)
{
	static const char *const reasons[][LAB_LANGS] = {
		{ "the order is above the highest that this profile has",
		  "이 프로파일에 없는 큰 order" },
		{ "no zone of the kind asked for has memory", "그런 존에는 메모리가 없음" },
		{ "memory is too fragmented for the order", "메모리가 조각나 그 order의 블록이 없음" },
		{ "free memory would fall below the watermark", "빈 메모리가 워터마크 아래로 내려감" },
		{ "not all of these frames are offline", "오프라인이 아닌 프레임이 있음" },
		{ "these frames are not of one zone", "프레임이 한 존에 있지 않음" },
	};

	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (!strcmp(reason, reasons[i][LAB_EN]))
			return reasons[i][lang];
	return reason;
}

static void alloc_text(const struct lab_event *event, enum lab_lang lang, FILE *out)
{
	const struct lab_op *op = event->op;
	unsigned long long first = event->pfn, last = first + (1ull << event->order) - 1;

	fprintf(out, lang == LAB_KO ? "order %u 할당%s%s" : "alloc order %u%s%s", op->order,
		op->name[0] ? (lang == LAB_KO ? ": " : " as ") : "", op->name);
	if (op->kind == LAB_FILL)
		fputs(lang == LAB_KO ? ", 거부될 때까지" : " until refused", out);
	if (event->nr == 1 && !event->order)
		fprintf(out, lang == LAB_KO ? " → 프레임 %llu" : " → frame %llu", first);
	else if (event->nr == 1)
		fprintf(out, lang == LAB_KO ? " → 프레임 %llu-%llu" : " → frames %llu-%llu", first,
			last);
	else if (event->nr)
		fprintf(out, lang == LAB_KO ? " → 블록 %llu개, 처음은 프레임 %llu" :
			" → %llu blocks, the first at frame %llu", (unsigned long long)event->nr,
			first);
	if (event->detail[0])
		fprintf(out, lang == LAB_KO ? " → 거부: %s" : " → refused: %s",
			reason_in(event->detail, lang));
}

static void free_text(const struct lab_event *event, enum lab_lang lang, FILE *out)
{
	const struct lab_op *op = event->op;
	unsigned long long first = event->pfn, last = first + (1ull << event->order) - 1;

	if (op->has_pfn)
		fprintf(out, lang == LAB_KO ? "프레임 %llu 해제" : "free frame %llu", first);
	else if (event->nr > 1)
		fprintf(out, lang == LAB_KO ? "%s 해제 (블록 %llu개)" : "free %s (%llu blocks)",
			op->name, (unsigned long long)event->nr);
	else if (event->order)
		fprintf(out, lang == LAB_KO ? "%s 해제 (프레임 %llu-%llu)" :
			"free %s (frames %llu-%llu)", op->name, first, last);
	else
		fprintf(out, lang == LAB_KO ? "%s 해제 (프레임 %llu)" : "free %s (frame %llu)",
			op->name, first);
	if (event->detail[0])
		fprintf(out, lang == LAB_KO ? " → [%s]에 걸림" : " → caught: [%s]",
			event->detail);
}

static void range_text(const struct lab_event *event, enum lab_lang lang, FILE *out)
{
	static const char *const what[][LAB_LANGS] = {
		[LAB_RANGE - LAB_RANGE] = { "just frames %llu-%llu", "바로 이 프레임: %llu-%llu" },
		[LAB_OFFLINE - LAB_RANGE] = { "bank offline: frames %llu-%llu",
					      "뱅크 오프라인: 프레임 %llu-%llu" },
		[LAB_ONLINE - LAB_RANGE] = { "bank online: frames %llu-%llu",
					     "뱅크 온라인: 프레임 %llu-%llu" },
	};
	const struct lab_op *op = event->op;
	unsigned long long busy;

	fprintf(out, what[op->kind - LAB_RANGE][lang], (unsigned long long)op->number,
		(unsigned long long)op->last);
	if (op->name[0])
		fprintf(out, lang == LAB_KO ? ": %s" : " as %s", op->name);
	if (lang == LAB_KO && sscanf(event->detail, "frame %llu", &busy) == 1)
		fprintf(out, " → 거부: 프레임 %llu 사용 중", busy);
	else if (event->detail[0])
		fprintf(out, lang == LAB_KO ? " → 거부: %s" : " → refused: %s",
			reason_in(event->detail, lang));
}

const char *event_text(const struct lab_event *event, enum lab_lang lang, char *buffer,
		       size_t room)
{
	FILE *out = fmemopen(buffer, room, "w");

	buffer[0] = '\0';
	if (!out)
		return buffer;
	switch (slabs_is_op(event->op) ? LAB_CACHE : event->op->kind) {
	case LAB_CACHE:
		slabs_text(event, lang, out);
		break;
	case LAB_ALLOC:
	case LAB_FILL:
		alloc_text(event, lang, out);
		break;
	case LAB_FREE:
		free_text(event, lang, out);
		break;
	case LAB_FRAMES:
		fputs(lang == LAB_KO ? "그림처럼 프레임을 놓음" : "frames laid out as in the picture",
		      out);
		break;
	case LAB_RANGE:
	case LAB_OFFLINE:
	case LAB_ONLINE:
		range_text(event, lang, out);
		break;
	case LAB_BALLOON:
		fprintf(out, lang == LAB_KO ? "노드 %d의 풍선: 프레임 %llu개" :
			"balloon of node %d: %llu frames", event->op->node,
			(unsigned long long)event->nr);
		break;
	case LAB_CPU:
		fprintf(out, lang == LAB_KO ? "이제 CPU %llu에서" : "from now on CPU %llu",
			(unsigned long long)event->op->number);
		break;
	default:
		fputs(lang == LAB_KO ? "CPU별 목록을 비움: 합칠 수 있는 것은 합쳐짐" :
		      "drain: what per-CPU lists held goes back and merges", out);
	}
	fclose(out);
	return buffer;
}
