/* SPDX-License-Identifier: MIT */
#include "lab/svg.h"

void svg_head(FILE *out, int height, enum lab_lang lang, const char *title)
{
	fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
		"viewBox=\"0 0 %d %d\" xml:lang=\"%s\" role=\"img\">\n<title>", SVG_WIDTH, height,
		SVG_WIDTH, height, lang == LAB_KO ? "ko" : "en");
	text_xml(out, title);
	fputs("</title>\n<style>\n"
	      "text{font-family:'Noto Sans KR','Noto Sans CJK KR','Noto Sans',system-ui,"
	      "sans-serif;font-size:14px;fill:" SVG_INK "}\n"
	      ".t{font-size:22px;font-weight:700}\n"
	      ".h{font-size:13px;font-weight:700;fill:" SVG_GREY "}\n"
	      ".s{font-size:12px;fill:" SVG_GREY "}\n"
	      ".b{font-weight:700}\n"
	      ".o{font-weight:700;fill:" SVG_CHANGED "}\n"
	      ".w{fill:#ffffff;font-weight:700}\n"
	      ".free{fill:" SVG_FREE ";stroke:" SVG_FREE_EDGE "}\n"
	      ".used{fill:" SVG_USED ";stroke:" SVG_USED_EDGE "}\n"
	      ".cpu{fill:" SVG_PER_CPU ";stroke:" SVG_PER_CPU_EDGE ";stroke-dasharray:4 2}\n"
	      ".res{fill:" SVG_RESERVED ";stroke:" SVG_RESERVED "}\n"
	      ".hole{fill:#ffffff;stroke:" SVG_LINE ";stroke-dasharray:2 3}\n"
	      ".chg{fill:none;stroke:" SVG_CHANGED ";stroke-width:3}\n"
	      ".line{fill:none;stroke:" SVG_LINE "}\n"
	      ".arrow{fill:none;stroke:" SVG_GREY ";stroke-width:1.5}\n"
	      ".one{fill:" SVG_INK ";stroke:" SVG_INK "}\n"
	      ".zero{fill:#ffffff;stroke:" SVG_USED_EDGE "}\n"
	      ".card{fill:#ffffff;stroke:" SVG_LINE "}\n"
	      "</style>\n", out);
	fprintf(out, "<rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"%d\" height=\"%d\" "
		"rx=\"12\"/>\n", SVG_WIDTH - 1, height - 1);
}

void svg_tail(FILE *out)
{
	fputs("</svg>\n", out);
}

void svg_text(FILE *out, double x, double y, const char *class, const char *anchor,
	      const char *text)
{
	fprintf(out, "<text class=\"%s\" x=\"%g\" y=\"%g\" text-anchor=\"%s\">", class, x, y,
		anchor);
	text_xml(out, text);
	fputs("</text>\n", out);
}

void svg_box(FILE *out, double x, double y, double width, double height, const char *class)
{
	fprintf(out, "<rect class=\"%s\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" "
		"rx=\"4\"/>\n", class, x, y, width, height);
}
