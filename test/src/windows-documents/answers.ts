import { checkOciWindowsProcess, SchemaError } from "@uvm-shim/hcs-schema";
import { ControllerError } from "@uvm-shim/lifecycle";
import { processParameters, SandboxError } from "@uvm-shim/sandbox-wcow";
import type { Answer } from "./answer.ts";
import { type ContainerCase, containerAnswer, type StandaloneCase, standaloneAnswer } from "./container.ts";
import { withoutZeros } from "./facts.ts";
import { podSandboxOf, type SandboxCase } from "./sandbox.ts";

export interface ProcessCase {
  readonly name: string;
  readonly kind: "process";
  /** Of OCI, as parsed JSON. */
  readonly process: unknown;
  readonly spec: { readonly annotations?: Readonly<Record<string, string>> | null } | null;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

export type DocumentCase = ProcessCase | ContainerCase | StandaloneCase | ({ readonly kind: "sandbox" } & SandboxCase);

/** By the names of the cases. What fails in one, even this program itself, is the error of that one alone. */
export async function answersTo(cases: readonly DocumentCase[]): Promise<Readonly<Record<string, Answer>>> {
  const answers: [string, Answer][] = [];
  for (const asked of cases) {
    answers.push([asked.name, await answerTo(asked).catch((error: unknown) => ({ error: `unexpected: ${error}` }))]);
  }
  return Object.fromEntries(answers);
}

/** What production code makes of a case. */
export async function answerTo(asked: DocumentCase): Promise<Answer> {
  try {
    return await answerOrRefuse(asked);
  } catch (error) {
    const isRefused = [SandboxError, ControllerError, SchemaError].some((kind) => error instanceof kind);
    if (isRefused) return { error: (error as Error).message };
    throw error;
  }
}

async function answerOrRefuse(asked: DocumentCase): Promise<Answer> {
  switch (asked.kind) {
    case "process": {
      const { spec, stdin, stdout, stderr } = asked;
      const process = checkOciWindowsProcess(asked.process);
      const annotations = spec?.annotations ?? {};
      return { parameters: processParameters({ process, annotations, streams: { stdin, stdout, stderr } }) };
    }
    case "sandbox":
      return { document: withoutZeros(podSandboxOf(asked).document) };
    case "container":
      return await containerAnswer(asked);
    case "standalone":
      return await standaloneAnswer(asked);
  }
}
