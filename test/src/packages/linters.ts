/** What publint and "Are the types wrong?" say about tarballs. */
import { readFileSync } from "node:fs";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { problemAffectsResolutionKind, problemKindInfo } from "@arethetypeswrong/core/problems";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

export async function publintProblems(tarball: string): Promise<readonly string[]> {
  const { messages, pkg } = await publint({ pack: { tarball: arrayBufferOf(tarball) }, strict: true });
  return messages.map((message) => `${message.type}: ${formatMessage(message, pkg, { color: false })}`);
}

/** The packages are ES modules with `exports`: resolution of before that, and of `require` in declarations, is not meant. */
const resolutionKinds = ["node16-esm", "bundler"] as const;

export async function typesWrong(tarball: string): Promise<readonly string[]> {
  const analysis = await checkPackage(createPackageFromTarballData(readFileSync(tarball)));
  if (analysis.types === false) return ["it has no types"];
  return analysis.problems
    .filter((problem) => resolutionKinds.some((kind) => problemAffectsResolutionKind(problem, kind, analysis)))
    .map((problem) => `${problemKindInfo[problem.kind].title}: ${JSON.stringify(problem)}`);
}

function arrayBufferOf(file: string): ArrayBuffer {
  const { buffer, byteOffset, byteLength } = Uint8Array.from(readFileSync(file));
  return buffer.slice(byteOffset, byteOffset + byteLength);
}
