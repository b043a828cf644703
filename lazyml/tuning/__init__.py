"""`lazyml tune`: sizes of pages, blocks and strips, and where loops end and the library begins, as measured here."""

from lazyml.tuning.store import check_folder as check_folder
from lazyml.tuning.store import facts as facts
from lazyml.tuning.store import keep as keep
from lazyml.tuning.store import remove as remove
from lazyml.tuning.tune import Finding as Finding
from lazyml.tuning.tune import tune as tune
