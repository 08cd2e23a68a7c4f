/** Answers that are well framed, and made to hurt whoever reads them. */
import type { HostileGuest } from "../guest/hostile-guest.ts";
import { figures } from "../guest/ordinary.ts";
import type { Reaction } from "../guest/requests.ts";
import type { Mode } from "./mode.ts";

/** Of 4 MiB, the greatest frame, with its surroundings left out. */
const nearlyAll = 4 * 1024 * 1024 - 4096;

const answersFigures =
  (properties: (guest: HostileGuest) => unknown): Mode["attack"] =>
  (guest) =>
    guest.onVictim("getProperties", (request) => guest.answerProperties(request, properties(guest)));

const answersText =
  (text: string): Mode["attack"] =>
  (guest) =>
    guest.onVictim("getProperties", (request) => guest.answerText(request, text));

const refuses =
  (fields: () => object): Mode["attack"] =>
  (guest) => {
    const refuse: Reaction = (request) => guest.answer(request, { Result: 0x80004005 | 0, ...fields() });
    guest.onVictim("getProperties", refuse);
    guest.onVictim("modifySettings", refuse);
  };

const keys = (count: number): string => Array.from({ length: count }, (_, index) => `"k${index}":0`).join(",");
const nested = (depth: number): string => `${'{"a":'.repeat(depth)}0${"}".repeat(depth)}`;
const metrics = (memory: string): string => `{"LCOWMetrics":{"memory":${memory}}}`;

/** Escapes, bells, separators of lines and what looks like a line of the host's log. */
export const forgery =
  '\n\u001b]0;owned\u0007\u001b[2J\u009b1m\u2028\u2029time="2026-01-01T00:00:00Z" level=error msg=forged\r';

const spellings = Array.from({ length: 12 }, (_, bits) =>
  [..."memory"].map((letter, index) => ((bits >> index) & 1 ? letter.toUpperCase() : letter)).join(""),
);

const figureModes: readonly Mode[] = [
  {
    name: "figures-unknowns",
    what: "puts $unknowns of a quarter of a gigabyte into its figures, in 62 bytes",
    provoke: ["stats", "stats"],
    attack: answersFigures(() => metrics('{"$unknowns":[{"length":268435456}]}')),
  },
  {
    name: "figures-unknowns-everywhere",
    what: "puts $unknowns into every group of its figures",
    provoke: ["stats"],
    attack: answersFigures(() => {
      const group = { $unknowns: [{ length: 1e9 }, { length: -1 }, { length: "9" }] };
      return {
        $unknowns: [{ length: 1e9 }],
        LCOWMetrics: { ...group, cpu: { ...group, usage: group }, memory: { ...group, usage: group }, pids: group },
      };
    }),
  },
  {
    name: "figures-prototype",
    what: "names fields of its figures __proto__, constructor and toString",
    provoke: ["stats", "pids"],
    attack: answersText(
      JSON.stringify({
        Result: 0,
        Properties: metrics('{"__proto__":{"rss":7},"constructor":{"prototype":1}}'),
      }).replace("{", '{"__proto__":{"polluted":true},"toString":1,"hasOwnProperty":null,'),
    ),
  },
  {
    name: "figures-wide",
    what: "answers with 250,000 unknown fields",
    provoke: ["stats", "stats"],
    attack: answersFigures(() => metrics(`{${keys(250_000)}}`)),
  },
  {
    name: "figures-deep",
    what: "nests objects 200,000 deep",
    provoke: ["stats", "pids"],
    attack: answersFigures(() => metrics(nested(200_000))),
  },
  {
    name: "figures-deep-lists",
    what: "nests lists a million deep",
    provoke: ["stats"],
    attack: answersFigures(() => `${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}`),
  },
  {
    name: "figures-wrong-types",
    what: "gives text, objects, negative and endless numbers where numbers are expected",
    provoke: ["stats", "stats", "stats", "stats", "stats"],
    attack: (guest) => {
      const wrong = [
        '{"rss":"abc"}',
        '{"rssHuge":"abc"}',
        '{"rss":1e999}',
        '{"rss":{"low":1,"high":2}}',
        '{"usage":[]}',
      ];
      let next = 0;
      guest.onVictim("getProperties", (request) =>
        guest.answerProperties(request, metrics(wrong[next++ % wrong.length] ?? "")),
      );
    },
  },
  {
    name: "figures-other-spellings",
    what: "spells fields as the protobuf library would, in camel case, with what it takes for numbers of 64 bits",
    provoke: ["stats", "stats"],
    attack: answersFigures(() =>
      metrics(
        '{"totalRssHuge":{"low":1e9,"high":1e9,"unsigned":"x"},"memoryOomControl":{"oomKill":"9"},"rssHuge":"-1"}',
      ),
    ),
  },
  {
    name: "figures-long-list",
    what: "counts a million processors",
    provoke: ["stats", "stats"],
    attack: answersFigures(() => ({ LCOWMetrics: { cpu: { usage: { per_cpu: new Array(1_000_000).fill(1) } } } })),
  },
  {
    name: "figures-many-spellings",
    what: "gives one field in many spellings of its name",
    provoke: ["stats"],
    attack: answersFigures(
      () => `{"LCOWMetrics":{${spellings.map((name) => `"${name}":{"rss":1}`).join(",")},${keys(5_000)}}}`,
    ),
  },
  {
    name: "figures-both-versions",
    what: "answers in both forms of figures at once, and with neither at the next question",
    provoke: ["stats", "stats"],
    attack: (guest) => {
      let isFirst = true;
      guest.onVictim("getProperties", (request) => {
        guest.answerProperties(request, isFirst ? { ...figures, LCOWMetricsV2: { cpu: { usage_usec: -1 } } } : {});
        isFirst = false;
      });
    },
  },
  {
    name: "figures-long-text",
    what: "answers with 4 MiB of quotation marks where JSON in a string is expected",
    provoke: ["stats", "pids"],
    attack: answersFigures(() => '"'.repeat(nearlyAll / 2)),
  },
  {
    name: "figures-empty-objects",
    what: "answers with a million empty objects",
    provoke: ["stats", "pids"],
    attack: answersFigures(() => `{"LCOWMetrics":{"other":[${"{},".repeat(1_000_000)}{}]}}`),
  },
  {
    name: "pids-many",
    what: "lists 150,000 processes",
    provoke: ["pids", "pids"],
    attack: answersFigures(
      () => `{"ProcessList":[${Array.from({ length: 150_000 }, (_, pid) => `{"ProcessId":${pid + 1}}`).join(",")}]}`,
    ),
  },
  {
    name: "pids-wrong",
    what: "lists processes without numbers, with endless ones, and itself a hundred thousand times",
    provoke: ["pids", "pids", "kill"],
    attack: (guest) => {
      const lists = ['[{"ProcessId":"1"},{"ProcessId":1e99}]', `[${"null,".repeat(100_000)}1]`, '{"length":1e9}'];
      let next = 0;
      guest.onVictim("getProperties", (request) =>
        guest.answerProperties(request, `{"ProcessList":${lists[next++ % lists.length]}}`),
      );
    },
  },
];

const bodyModes: readonly Mode[] = [
  {
    name: "answer-no-json",
    what: "answers with bytes that are not JSON",
    provoke: ["stats", "pids"],
    attack: answersText("\u0000\u0001{]not json"),
  },
  {
    name: "answer-empty",
    what: "answers with an empty body",
    provoke: ["stats"],
    attack: answersText(""),
  },
  {
    name: "answer-other-kinds",
    what: "answers with a list where an object is expected",
    provoke: ["stats"],
    attack: answersText("[1,2,3]"),
  },
  {
    name: "answer-results",
    what: "gives results that are not numbers, endless, or a fraction",
    provoke: ["stats", "stats", "stats", "stats"],
    attack: (guest) => {
      const results = ['"0"', "1e300", "0.5", "-2147483649", "null", "{}"];
      let next = 0;
      guest.onVictim("getProperties", (request) =>
        guest.answerText(request, `{"Result":${results[next++ % results.length]},"Properties":"{}"}`),
      );
    },
  },
  {
    name: "answer-repeated-fields",
    what: "gives 100,000 results in one answer, and 100,000 more in capitals",
    provoke: ["stats", "pids"],
    attack: answersText(`{${'"Result":0,"RESULT":1,'.repeat(100_000)}"Properties":"{}"}`),
  },
];

const errorModes: readonly Mode[] = [
  {
    name: "error-long",
    what: "refuses with 3 MiB of text",
    provoke: ["stats", "pids", "update", "pause"],
    attack: refuses(() => ({ ErrorMessage: "long ".repeat(600_000) })),
  },
  {
    name: "error-lines",
    what: "refuses with 64 KiB of newlines and escapes",
    provoke: ["stats", "pids", "update", "pause"],
    attack: refuses(() => ({ ErrorMessage: forgery.repeat(900) })),
  },
  {
    name: "error-records",
    what: "refuses with 20,000 records of what went wrong",
    provoke: ["stats", "pids", "update"],
    attack: refuses(() => ({ ErrorRecords: new Array(20_000).fill({ Result: 1, Message: forgery, StackTrace: "x" }) })),
  },
  {
    name: "error-as-gone",
    what: "answers every request about the victim with not found",
    provoke: ["stats", "pids", "kill", "update", "exec", "delete"],
    attack: (guest) => {
      const gone: Reaction = (request) => guest.answer(request, { Result: 0x80070490 | 0, ErrorMessage: "gone" });
      for (const procedure of ["getProperties", "signalProcess", "modifySettings", "shutdownForced"] as const) {
        guest.onVictim(procedure, gone);
      }
    },
    mustEnd: true,
  },
  {
    name: "stacks-long",
    what: "returns stacks of 4 MiB that forge lines, to a shim that is asked for its own",
    provoke: ["signal", "stats"],
    attack: (guest) => {
      guest.onAnything("dumpStacks", (request) => guest.answer(request, { GuestStacks: forgery.repeat(50_000) }));
      guest.afterVictimRuns(() => guest.struck("has stacks"));
    },
  },
];

export const answerModes: readonly Mode[] = [...figureModes, ...bodyModes, ...errorModes];
