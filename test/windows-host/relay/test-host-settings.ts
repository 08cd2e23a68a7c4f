import { hresults } from "@uvm-shim/hcs-schema";
import type { Spelling } from "../../../packages/hcs-bindings/src/testing/respelling.ts";
import { Refusal } from "./refusal.ts";

/** When callbacks come; the numbers are those of enum callback_mode in testhost.h. */
export const callbackModes = {
  worker: 0,
  beforeReturn: 1,
  freshThread: 2,
  racingClose: 3,
  failingAtOnce: 4,
  failingAtOnceAndCallingBack: 5,
} as const;

/** An answer that is given instead of the host's. */
export interface PreparedAnswer {
  readonly function: string;
  /** S_OK when absent. */
  readonly hresult?: number;
  /** The document; `null` or absent is none. */
  readonly document?: string | null;
  /** How often it is given; 1 when absent. */
  readonly times?: number;
}

/** What UvmShimTestHostConfigure takes, as JSON. What is absent is as it is without any settings. */
export interface TestHostSettings {
  /** When and on which thread callbacks come. */
  readonly callbacks?: keyof typeof callbackModes;
  /** Milliseconds that every answer is late. */
  readonly delayMs?: number;
  /** HRESULTs of the compute service come as NTSTATUS values: 0xC0370xxx for 0x80370xxx. */
  readonly ntstatusForms?: boolean;
  /** Failures have no document. */
  readonly withoutDocuments?: boolean;
  /** The case of the names in all documents; absent: as Microsoft's schemas have them, unless the relay is set otherwise. */
  readonly spelling?: Spelling;
  /** The call of this number, counted from now, fails with E_OUTOFMEMORY before anybody hears of it. */
  readonly outOfMemoryAt?: number;
  /** Every call of this function sleeps before it does anything. */
  readonly sleep?: { readonly function: string; readonly milliseconds: number };
  readonly answers?: readonly PreparedAnswer[];
  /** At once: the service leaves this process, as when it restarts; handles on systems are closed. */
  readonly disconnect?: boolean;
  /** At once: the service is taken away from everybody. */
  readonly loseService?: boolean;
}

const known: ReadonlySet<string> = new Set<keyof TestHostSettings>([
  "callbacks",
  "delayMs",
  "ntstatusForms",
  "withoutDocuments",
  "spelling",
  "outOfMemoryAt",
  "sleep",
  "answers",
  "disconnect",
  "loseService",
]);

export function readTestHostSettings(text: string | undefined): TestHostSettings {
  const settings = JSON.parse(text ?? "{}") as TestHostSettings;
  const unknown = Object.keys(settings).find((name) => !known.has(name));
  if (unknown !== undefined)
    throw new Refusal("E_INVALIDARG", `unknown setting ${unknown}: expected one of ${[...known].join(", ")}`);
  return settings;
}

/** What testhost.dll itself has to know. */
export function numbersForDll({ callbacks = "worker", outOfMemoryAt = 0, sleep }: TestHostSettings): string {
  return `${callbackModes[callbacks]} ${outOfMemoryAt} ${sleep?.milliseconds ?? 0} ${sleep?.function ?? ""}`;
}

/** The NTSTATUS that the service also answers with. */
export function ntstatusOf(hresult: number): number {
  if (hresult === hresults.HCS_E_OPERATION_PENDING) return 0xc0370103;
  return hresult >>> 16 === 0x8037 ? (0xc0370000 | (hresult & 0xffff)) >>> 0 : hresult;
}

/** Takes the answer that was prepared for this call, once. */
export class PreparedAnswers {
  readonly #left: { readonly answer: PreparedAnswer; times: number }[];

  constructor(answers: readonly PreparedAnswer[] = []) {
    this.#left = answers.map((answer) => ({ answer, times: answer.times ?? 1 }));
  }

  take(name: string): PreparedAnswer | undefined {
    const found = this.#left.find(({ answer, times }) => answer.function === name && times > 0);
    if (found !== undefined) found.times--;
    return found?.answer;
  }
}
