"""Runs a script that was written for another platform: the shim, with that platform's variables and folders around it.

What SageMaker sets is what its Python SDK's own driver sets (`container_drivers` of sagemaker 3), hyperparameters as
words included. What Vertex AI sets is on its page "Custom training code requirements", what Azure ML sets in its jobs'
own environment. A platform's paths stand for folders of this step; nothing of a platform is called.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import sys
import tempfile
from typing import Any, Dict, List, Optional

from ctc.steps.nodes import Group, as_nodes, group_of
from ctc.steps.shim import ABSENT, INPUT, Places, Work, main, run
from ctc.steps.shim_files import write_json

Words = Dict[str, str]

CHANNELS = {"train": ("train", "training"), "valid": ("validation", "valid", "test")}
"""What scripts call a channel, by our name of it; the first is the one that is listed."""

HOST, NETWORK, SM_PORT, LOG_LEVEL = "algo-1", "eth0", "7777", "20"


def adapted(arguments: argparse.Namespace, work: Work, places: Places) -> None:
    """Runs the command as it would be run there. Raises what the shim raises."""
    told = dict(word.split("=", 1) for word in arguments.option)
    folders = {name: os.path.abspath(path) for side in places[:2] for name, path in side.items() if name != "request"}
    if "base_model" in folders and os.path.isfile(os.path.join(folders["base_model"], ABSENT)):
        del folders["base_model"]
    typed = json.loads(os.environ.get("CTC_HYPERPARAMETERS") or "{}")
    with tempfile.TemporaryDirectory(prefix="ctc-") as scratch:
        group = group_of(told) if "nodes" in told else None
        job = Job(arguments, folders, typed, work, scratch, group)
        os.environ.update(job.variables(told["interface"]))
        if group is None:
            run(arguments, job.work, places)
        else:
            as_nodes(group, arguments, job.work, places, lambda node: job.of_node(told["interface"], node))


class Job:
    """One command, and what its platform would have set for it. `work` is the command as it is run."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        folders: Words,
        typed: Dict[str, Any],
        work: Work,
        scratch: str,
        group: Optional[Group] = None,
    ) -> None:
        self.arguments, self.folders, self.typed, self.work, self.scratch = arguments, folders, typed, work, scratch
        self.group, self.hosts = group, group.hosts if group is not None else [HOST]
        self.rank = group.here[0] if group is not None else 0
        self.file = "data.csv" if arguments.csv else "data.parquet"

    def variables(self, interface: str) -> Words:
        return {"sagemaker": self.sagemaker, "vertex": self.vertex, "azureml": self.azureml}[interface]()

    def files(self) -> Words:
        """The spec's `inputs`, by name."""
        return {name[len(INPUT) :]: path for name, path in self.folders.items() if name.startswith(INPUT)}

    def folder(self, *names: str) -> str:
        path = os.path.join(self.scratch, *names)
        os.makedirs(path, exist_ok=True)
        return path

    def resources(self, node: int) -> Dict[str, Any]:
        """What SageMaker tells of the machines of a job."""
        found = {"current_host": self.hosts[node], "hosts": self.hosts, "network_interface_name": NETWORK}
        return dict(found, current_instance_type="local")

    def cluster(self, node: int) -> str:
        """What Vertex AI tells of them."""
        first, *others = self.hosts if self.group is not None else ["127.0.0.1"]
        port = self.group.port if self.group is not None else 2222
        pools = {"workerpool0": ["%s:%d" % (first, port)]}
        if others:
            pools["workerpool1"] = ["%s:%d" % (host, port) for host in others]
        task = {"type": "workerpool1", "index": node - 1} if node else {"type": "workerpool0", "index": 0}
        return json.dumps({"cluster": pools, "environment": "cloud", "task": task})

    def of_node(self, interface: str, node: int) -> Words:
        """What a platform tells each machine of itself."""
        if interface == "vertex":
            return {"CLUSTER_SPEC": self.cluster(node)}
        if interface == "azureml":
            return {"NODE_RANK": str(node)}
        resources = self.resources(node)
        training = dict(
            json.loads(os.environ["SM_TRAINING_ENV"]), current_host=self.hosts[node], current_host_rank=node
        )
        return {
            "SM_CURRENT_HOST": self.hosts[node],
            "SM_CURRENT_HOST_RANK": str(node),
            "SM_RESOURCE_CONFIG": json.dumps(resources),
            "SM_TRAINING_ENV": json.dumps(dict(training, resource_config=resources)),
        }

    def sagemaker(self) -> Words:
        """`SM_...`, folders of data and configuration, and after the words of a training its hyperparameters."""
        listed = {names[0]: self.folders[ours] for ours, names in CHANNELS.items() if ours in self.folders}
        listed.update({"model": self.folders["base_model"]} if "base_model" in self.folders else {}, **self.files())
        every = dict(listed)
        for ours, names in CHANNELS.items():
            every.update({name: self.folders[ours] for name in names if ours in self.folders})
        data, config = self.folder("input", "data"), self.folder("input", "config")
        for name, path in every.items():
            os.symlink(path, os.path.join(data, name))
        resources = self.resources(self.rank)
        channels = {name: {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated"} for name in listed}
        words = {name: value if isinstance(value, str) else json.dumps(value) for name, value in self.typed.items()}
        write_json(os.path.join(config, "hyperparameters.json"), words)
        write_json(os.path.join(config, "resourceconfig.json"), resources)
        write_json(os.path.join(config, "inputdataconfig.json"), channels)
        arguments = [word for name, value in words.items() for word in ("--" + name, value)]
        if self.arguments.step == "train":
            self.work = self.work._replace(argv=self.work.argv + arguments)
        found = {
            "SM_MODEL_DIR": self.folders.get("model", ""),
            "SM_INPUT_DIR": os.path.dirname(data),
            "SM_INPUT_DATA_DIR": data,
            "SM_INPUT_CONFIG_DIR": config,
            "SM_OUTPUT_DIR": self.folder("output"),
            "SM_OUTPUT_DATA_DIR": self.folder("output", "data"),
            "SM_OUTPUT_FAILURE": os.path.join(self.folder("output"), "failure"),
            "SM_CHANNELS": list(listed),
            "SM_HPS": self.typed,
            "SM_USER_ARGS": arguments,
            "SM_CURRENT_HOST": self.hosts[self.rank],
            "SM_CURRENT_HOST_RANK": self.rank,
            "SM_CURRENT_INSTANCE_TYPE": "local",
            "SM_HOSTS": self.hosts,
            "SM_HOST_COUNT": len(self.hosts),
            "SM_MASTER_ADDR": self.hosts[0] if self.group is not None else "127.0.0.1",
            "SM_MASTER_PORT": str(self.group.port) if self.group is not None else SM_PORT,
            "SM_NETWORK_INTERFACE_NAME": NETWORK,
            "SM_LOG_LEVEL": LOG_LEVEL,
            "SM_NUM_CPUS": os.cpu_count() or 1,
            "SM_NUM_GPUS": len(gpus()),
            "SM_NUM_NEURONS": len(glob.glob("/dev/neuron[0-9]*")),
            "SM_RESOURCE_CONFIG": resources,
            "SM_INPUT_DATA_CONFIG": channels,
            "TRAINING_JOB_NAME": os.environ.get("TRAINING_JOB_NAME", self.arguments.step),
        }
        found.update({"SM_CHANNEL_" + name.upper(): path for name, path in every.items()})
        found.update({"SM_HP_" + name.replace("-", "_").upper(): value for name, value in self.typed.items()})
        found["SM_TRAINING_ENV"] = dict(
            {name[3:].lower(): value for name, value in found.items() if not name.startswith(("SM_CHANNEL_", "SM_HP"))},
            channel_input_dirs=listed,
            hyperparameters=self.typed,
            job_name=found["TRAINING_JOB_NAME"],
        )
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in found.items()}

    def vertex(self) -> Words:
        """`AIP_...`: local paths where the platform has addresses of its object store."""
        found = {"CLUSTER_SPEC": self.cluster(self.rank)}
        if "train" in self.folders:
            found["AIP_DATA_FORMAT"] = "csv" if self.arguments.csv else "parquet"
            found["AIP_TENSORBOARD_LOG_DIR"] = self.folder("tensorboard")
        for name, ours in (("TRAINING", "train"), ("VALIDATION", "valid"), ("TEST", "valid")):
            if ours in self.folders:
                found["AIP_%s_DATA_URI" % name] = os.path.join(self.folders[ours], self.file)
        if self.work.checkpoints:
            os.makedirs(self.work.checkpoints, exist_ok=True)
            found["AIP_CHECKPOINT_DIR"] = os.path.abspath(self.work.checkpoints)
        if "model" in self.folders:
            found["AIP_MODEL_DIR" if "train" in self.folders else "AIP_STORAGE_URI"] = self.folders["model"]
        return found

    def azureml(self) -> Words:
        """`AZURE_ML_...`, and a working folder whose `outputs` is the model's folder, as that of a job there."""
        sides = {"train": "INPUT", "valid": "INPUT", "rows": "INPUT", "base_model": "INPUT", "predictions": "OUTPUT"}
        sides["model"] = "OUTPUT" if "train" in self.folders else "INPUT"
        found = {
            "AZURE_ML_%s_%s" % (side, name): self.folders[name] for name, side in sides.items() if name in self.folders
        }
        found.update({"AZURE_ML_INPUT_%s" % name: path for name, path in self.files().items()})
        found["AZUREML_RUN_ID"] = os.environ.get("AZUREML_RUN_ID", self.arguments.step)
        if "train" not in self.folders and "model" in self.folders:
            found["AZUREML_MODEL_DIR"] = self.folders["model"]
        elif "model" in self.folders:
            store, code = os.environ.get("CTC_CODE_STORE"), self.work.code
            here = os.path.join(store, code) if store and code else os.getcwd()
            working = self.folder("work")
            for entry in os.listdir(here):
                if entry != "outputs":
                    os.symlink(os.path.join(here, entry), os.path.join(working, entry))
            os.symlink(self.folders["model"], os.path.join(working, "outputs"))
            os.chdir(working)
            self.work = self.work._replace(code="")
        return found


def gpus() -> List[str]:
    return glob.glob("/dev/nvidia[0-9]*")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], adapted))
