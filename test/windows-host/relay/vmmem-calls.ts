import { Refusal } from "./refusal.ts";
import type { Handler, Session } from "./session.ts";

/** Beside those of Wine, which are small. */
const firstPid = 0x00100000;

async function runningVms(session: Session): Promise<readonly { readonly id: string; readonly runtimeId: string }[]> {
  const { systems } = await (await session.client()).call("enumerate", {});
  return systems.flatMap(({ Id: id, RuntimeId: runtimeId, State }) =>
    id !== undefined && runtimeId !== undefined && State === "Running" ? [{ id, runtimeId }] : [],
  );
}

/** What system.dll asks for the vmmem processes of running VMs. */
export const vmmemCalls: { readonly [name: string]: Handler } = {
  /** The pids, with blanks between. */
  vmmemProcesses: async (session) => {
    const { pids } = session.relay;
    return (await runningVms(session))
      .map(({ runtimeId }) => {
        const pid = pids.get(runtimeId) ?? firstPid + 4 * pids.size;
        pids.set(runtimeId, pid);
        return pid;
      })
      .join(" ");
  },

  /** The GUID of the VM that the process belongs to. */
  vmmemOwner: async (session, pid) => {
    for (const { runtimeId } of await runningVms(session)) {
      if (session.relay.pids.get(runtimeId) === Number(pid)) return `{${runtimeId}}`;
    }
    throw new Refusal("E_INVALIDARG", `there is no process ${pid}`);
  },

  vmmemWorkingSet: async (session, pid) => {
    const vm = (await runningVms(session)).find(({ runtimeId }) => session.relay.pids.get(runtimeId) === Number(pid));
    if (vm === undefined) throw new Refusal("E_INVALIDARG", `there is no process ${pid}`);
    const client = await session.client();
    const { handle } = await client.call("open", { system: vm.id });
    try {
      return String((await client.call("workingSet", { handle })).bytes);
    } finally {
      await client.call("close", { handle });
    }
  },
};
