import { processParameters, SandboxError, type WindowsProcess } from "@uvm-shim/sandbox-wcow";
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

/** A case of a kind that production code does not make yet. */
export interface UnbuiltCase {
  readonly name: string;
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
