/** The guest's policy and reference documents, for containers that attest themselves. */
import { mkdirSync, writeFileSync } from "node:fs";
import type { OciSpec, SecurityPolicy } from "@uvm-shim/hcs-schema";

/** A folder of the bundle. */
export const securityContextName = "security-context";

const wantedKey = "io.microsoft.virtualmachine.lcow.securitypolicy.env";

/**
 * Mounts the folder of policy and reference documents, if there are any, with the names and the environment variable of
 * microsoft/hcsshim's guest (pkg/securitypolicy).
 */
export function withSecurityContext(
  spec: OciSpec,
  id: string,
  bundle: string,
  policy: SecurityPolicy | undefined,
): OciSpec {
  if (policy === undefined || spec.annotations?.[wantedKey] === "false") return spec;
  const contents = Object.entries({
    "security-policy-base64": policy.EncodedSecurityPolicy,
    "reference-info-base64": policy.EncodedUVMReference,
    "transparent-reference-info-base64": policy.EncodedUVMHashEnvelopeReference,
  }).filter(([, content = ""]) => content !== "");
  if (contents.length === 0) return spec;
  const source = `${bundle}/${securityContextName}`;
  const destination = `/${securityContextName}-${id}`;
  mkdirSync(source, { recursive: true, mode: 0o755 });
  for (const [name, content = ""] of contents) {
    writeFileSync(`${source}/${name}`, content, { mode: 0o644 });
  }
  const { process = { cwd: "/" }, mounts = [] } = spec;
  return {
    ...spec,
    process: { ...process, env: [...(process.env ?? []), `UVM_SECURITY_CONTEXT_DIR=${destination}`] },
    mounts: [...mounts, { destination, type: "bind", source, options: ["bind", "ro"] }],
  };
}
