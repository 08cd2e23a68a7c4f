import { processParameters, SandboxError, type WindowsProcess } from "@uvm-shim/sandbox-wcow";
<<<<<<< HEAD
import { withoutZeros } from "./facts.ts";
import { podSandboxOf, type SandboxCase } from "./sandbox.ts";
=======
import type { Answer } from "./answer.ts";
import { type ContainerCase, containerAnswer, type StandaloneCase, standaloneAnswer } from "./container.ts";
>>>>>>> w-cdoc

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
<<<<<<< HEAD
  readonly kind: "container" | "standalone";
}

export type DocumentCase = ProcessCase | ({ readonly kind: "sandbox" } & SandboxCase) | UnbuiltCase;

export interface Answer {
  readonly document?: unknown;
  readonly parameters?: unknown;
  readonly error?: string;
}

/** What production code makes of a case. */
export function answerTo(asked: DocumentCase): Answer {
=======
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
>>>>>>> w-cdoc
  try {
    return answerOrRefuse(asked);
  } catch (error) {
    if (error instanceof SandboxError) return { error: error.message };
    throw error;
  }
}

function answerOrRefuse(asked: DocumentCase): Answer {
  switch (asked.kind) {
    case "process": {
      const { process, spec, stdin, stdout, stderr } = asked;
      const annotations = spec?.annotations ?? {};
      return { parameters: processParameters({ process, annotations, streams: { stdin, stdout, stderr } }) };
    }
    case "sandbox":
      return { document: withoutZeros(podSandboxOf(asked).document) };
    case "container":
    case "standalone":
      return { error: `kind: ${asked.kind} has no production code yet; process and sandbox are expected` };
  }
}
