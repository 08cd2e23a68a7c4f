import { copyFile, rm } from "node:fs/promises";
import type { SecurityPolicy } from "@uvm-shim/hcs-schema";
import { systemClock } from "@uvm-shim/lifecycle";
import type { SandboxSettings } from "@uvm-shim/sandbox-lcow";
import { readNamedFile } from "@uvm-shim/shim";

/** Far more than such files have, which travel to the guest in one message. */
const largestReferenceFile = 16 * 1024 * 1024;

type ConfidentialSettings = NonNullable<SandboxSettings["confidential"]>;

/** What the guest of a VM with a security policy is told. A reference file that is missing is left out. */
export async function securityPolicyOf(settings: ConfidentialSettings): Promise<SecurityPolicy> {
  const { policy, enforcer, referenceInfoFile, hashEnvelopeReferenceInfoFile } = settings;
  const [reference, envelope] = await Promise.all([referenceInfoFile, hashEnvelopeReferenceInfoFile].map(encodedFile));
  return {
    EnforcerType: enforcer,
    EncodedSecurityPolicy: policy,
    ...(reference && { EncodedUVMReference: reference }),
    ...(envelope && { EncodedUVMHashEnvelopeReference: envelope }),
  };
}

/**
 * Copies the files that an isolated VM writes to into its bundle, and opens them to it, before it is made by `create`.
 * They go with the bundle, but for a VM that could not be made at once.
 */
export async function withCopies(
  copies: ConfidentialSettings["copies"],
  grantVmAccess: (file: string) => Promise<void>,
  create: () => Promise<void>,
): Promise<void> {
  try {
    for (const { from, to } of copies) {
      await copyFile(from, to);
      await grantVmAccess(to);
    }
    await create();
  } catch (error) {
    for (const { to } of copies) await rm(to, { force: true });
    throw error;
  }
}

async function encodedFile(path: string): Promise<string | undefined> {
  if (path === "") return undefined;
  try {
    return (await readNamedFile(path, largestReferenceFile, { clock: systemClock })).toString("base64");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
