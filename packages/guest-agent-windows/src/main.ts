import { answerByHand } from "@uvm-shim/guest-agent-common";
import { runWindowsAgent } from "./agent.ts";

const answer = answerByHand("Windows", process.argv.slice(2), process.env);
if (answer === undefined) void runWindowsAgent();
else {
  (answer.code === 0 ? process.stdout : process.stderr).write(answer.text);
  process.exitCode = answer.code;
}
