import { processParameters, SandboxError, type WindowsProcess } from "@uvm-shim/sandbox-wcow";
import type { Answer } from "./answer.ts";
import { type ContainerCase, containerAnswer, type StandaloneCase, standaloneAnswer } from "./container.ts";

export interface ProcessCase {
  readonly name: string;
  readonly kind: "process";
  readonly process: WindowsProcess;
  readonly spec: { readonly annotations?: Readonly<Record<string, string>> } | null;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/** A case of a kind that production code does not make yet. */
export interface UnbuiltCase {
  readonly name: string;
  readonly kind: "sandbox";
}

export type DocumentCase = ProcessCase | ContainerCase | StandaloneCase | UnbuiltCase;

/** What production code makes of a case. */
export async function answerTo(asked: DocumentCase): Promise<Answer> {
  switch (asked.kind) {
    case "process":
      return parametersOrError(asked);
    case "container":
      return await containerAnswer(asked);
    case "standalone":
      return await standaloneAnswer(asked);
    case "sandbox":
      return { error: `kind: ${asked.kind} has no production code yet; process is expected` };
  }
}

function parametersOrError(asked: ProcessCase): Answer {
  const { process, spec, stdin, stdout, stderr } = asked;
  try {
    return {
      parameters: processParameters({
        process,
        annotations: spec?.annotations ?? {},
        streams: { stdin, stdout, stderr },
      }),
    };
  } catch (error) {
    if (error instanceof SandboxError) return { error: error.message };
    throw error;
  }
}
