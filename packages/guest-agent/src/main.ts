import { answerByHand } from "@uvm-shim/guest-agent-common";
import { runGuestAgent } from "./agent.ts";

const answer = answerByHand("Linux", process.argv.slice(2), process.env);
if (answer === undefined) void runGuestAgent();
else {
  (answer.code === 0 ? process.stdout : process.stderr).write(answer.text);
  process.exitCode = answer.code;
}
