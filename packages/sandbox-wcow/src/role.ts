import { refuse } from "@uvm-shim/sandbox-common";

const typeKey = "io.kubernetes.cri.container-type";
const idKey = "io.kubernetes.cri.sandbox-id";

/**
 * What a request makes beside a VM, by CRI's annotations: a pod's sandbox, or a task without a pod. Throws SandboxError
 * where they contradict each other or the request's id.
 */
export function sandboxRole(annotations: { readonly [key: string]: string }, id: string): "pod" | "task" {
  const { [typeKey]: type, [idKey]: sandbox = "" } = annotations;
  if (type === undefined) {
    if (sandbox !== "") refuse(idKey, sandbox, `none without ${typeKey}`);
    return "task";
  }
  if (type !== "sandbox") refuse(typeKey, type, "sandbox, as this request comes first");
  if (sandbox !== id) refuse(idKey, sandbox, `${JSON.stringify(id)}, the id of the request`);
  return "pod";
}
