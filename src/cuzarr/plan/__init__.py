"""Selections as immutable arrays: what a key touches, chunk by chunk."""

from __future__ import annotations

from cuzarr.plan.blocks import plan_block
from cuzarr.plan.boxes import plan_boxes
from cuzarr.plan.chunk_plan import Axis, Boxes, ChunkPlan, PlanRows, Points
from cuzarr.plan.duplicates import last_wins
from cuzarr.plan.grid import chunk_counts, clipped, grid_shape
from cuzarr.plan.item import is_scalar, plan_item
from cuzarr.plan.points import plan_coordinate, plan_mask
from cuzarr.plan.regions import pieces, regions
from cuzarr.plan.separable import full_plan, plan_basic, plan_orthogonal
from cuzarr.plan.shards import (
    ShardGroups,
    group_by_shard,
    inner_chunks_in_array,
    shard_address,
)
from cuzarr.plan.unequal import split_by_shape

__all__ = [
    "Axis",
    "Boxes",
    "ChunkPlan",
    "PlanRows",
    "Points",
    "ShardGroups",
    "chunk_counts",
    "clipped",
    "full_plan",
    "grid_shape",
    "group_by_shard",
    "inner_chunks_in_array",
    "is_scalar",
    "last_wins",
    "pieces",
    "plan_basic",
    "plan_block",
    "plan_boxes",
    "plan_coordinate",
    "plan_item",
    "plan_mask",
    "plan_orthogonal",
    "regions",
    "shard_address",
    "split_by_shape",
]
