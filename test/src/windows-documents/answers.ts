import { ControllerError } from "@uvm-shim/lifecycle";
import { processParameters, SandboxError, type WindowsProcess } from "@uvm-shim/sandbox-wcow";
import type { Answer } from "./answer.ts";
import { type ContainerCase, containerAnswer, type StandaloneCase, standaloneAnswer } from "./container.ts";
import { withoutZeros } from "./facts.ts";
import { podSandboxOf, type SandboxCase } from "./sandbox.ts";

export interface ProcessCase {
  readonly name: string;
  readonly kind: "process";
  readonly process: WindowsProcess;
  readonly spec: { readonly annotations?: Readonly<Record<string, string>> } | null;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

export type DocumentCase = ProcessCase | ContainerCase | StandaloneCase | ({ readonly kind: "sandbox" } & SandboxCase);

/** What production code makes of a case. */
export async function answerTo(asked: DocumentCase): Promise<Answer> {
  try {
    return await answerOrRefuse(asked);
  } catch (error) {
    if (error instanceof SandboxError || error instanceof ControllerError) return { error: error.message };
    throw error;
  }
}

async function answerOrRefuse(asked: DocumentCase): Promise<Answer> {
  switch (asked.kind) {
    case "process": {
      const { process, spec, stdin, stdout, stderr } = asked;
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
