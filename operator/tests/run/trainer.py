#!/usr/bin/env python3
"""A trainer that only speaks the protocol: it trains nothing, so that the tests of `mixbench run` need no libtorch.

FAKE_TRAINER holds JSON: {"seconds": per epoch, "METHOD": [what attempt 1 does, what attempt 2 does, ...]}. An attempt does "ok" (the
default), "kill" (SIGKILL after its first epoch), "data" (a failed event, exit 65), "config" (exit 64 without an event), "forget" (finishes
and leaves no result.json) or "deaf" (ignores SIGTERM).
"""
import fcntl
import json
import os
import signal
import sys
import time

assert sys.argv[1:3] == ["launch", "--run"], sys.argv
path = sys.argv[3]
folder = os.path.dirname(path)
run = json.load(open(path))
script = json.loads(os.environ.get("FAKE_TRAINER", "{}"))
plan = script.get(run["spec"]["method"]["name"], [])
behaviour = plan[run["attempt"] - 1] if run["attempt"] <= len(plan) else "ok"
if behaviour == "config":
    print("mixbench-trainer: the run is wrong somehow", file=sys.stderr)
    sys.exit(64)

lock = open(os.path.join(folder, "lock"), "a+")
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
lock.truncate(0)
lock.write(f"{os.getpid()}\n")
lock.flush()
log = open(os.path.join(folder, "log.txt"), "a", buffering=1)
log.write(f"attempt {run['attempt']} pid {os.getpid()} gpus {os.environ.get('CUDA_VISIBLE_DEVICES')} nnodes {os.environ.get('NNODES')}\n")


def tell(kind, **body):
    event = {"version": 1, "run": run["id"], "attempt": run["attempt"], "nonce": run["nonce"], "time": int(time.time() * 1000), "type": kind}
    line = json.dumps(event | body)
    with open(os.path.join(folder, "events.jsonl"), "a") as journal:
        journal.write(line + "\n")
    try:
        print(line, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")


stopping = []
signal.signal(signal.SIGINT, lambda *_: stopping.append(1))
signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "deaf" else lambda *_: stopping.append(1))
checkpoint = os.path.join(folder, "epochs-done")
scores = json.load(open(checkpoint)) if os.path.exists(checkpoint) else []
resumed = {"resumed": {"epoch": len(scores), "step": 0}} if scores else {}
tell("started", worldSize=1, device="imagined", libtorch="2.11.0", dataFingerprint="f" * 64, classes=10, trainImages=2000, valImages=1000,
     parameters=7, steps=4, **resumed)
if behaviour == "data":
    log.write("a line before the end\n")
    tell("failed", exit="data", message="no such folder: fashion", rank=0)
    sys.exit(65)
print("noise that is no event", flush=True)
epochs = run["spec"]["training"]["epochs"]
while len(scores) < epochs:
    end = time.time() + script.get("seconds", 0.02)
    while time.time() < end and not stopping:
        time.sleep(0.005)
    if stopping:
        tell("stopped", position={"epoch": len(scores), "step": 0}, checkpoint="epochs-done")
        sys.exit(75)
    epoch = len(scores) + 1
    score = {"epoch": epoch, "correct1": 500 + 10 * epoch + run["trial"], "correct5": 900}
    scores.append(score)
    log.write(f"trained epoch {epoch}\n")
    tell("epoch", n=1000, trainLoss=2.0 / epoch, lr=0.1, images=2000, trainSeconds=1.5, evalSeconds=0.5, **score)
    with open(checkpoint + ".tmp", "w") as file:
        json.dump(scores, file)
    os.rename(checkpoint + ".tmp", checkpoint)
    if behaviour == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
result = {"version": 1, "run": run["id"], "nonce": run["nonce"], "attempt": run["attempt"], "metric": run["spec"]["training"]["metric"],
          "window": scores[-1:], "epochs": epochs, "n": 1000, "images": 2000 * epochs, "trainSeconds": 1.5 * epochs,
          "dataFingerprint": "f" * 64, "parameters": 7, "device": "imagined", "libtorch": "2.11.0"}
if behaviour != "forget":
    with open(os.path.join(folder, "result.json.tmp"), "w") as file:
        json.dump(result, file)
    os.rename(os.path.join(folder, "result.json.tmp"), os.path.join(folder, "result.json"))
tell("finished", result=result)
