"""The pages, one module each."""

from fastapi import APIRouter, Depends

from app.web.ui import assets
from app.web.ui.forms import require_token
from app.web.ui.routes import dataset_parts, datasets, duplicates, exports, fleet, gallery, home, jobs, new_build, picture, review, sign_in

__all__ = ["router"]

router = APIRouter(include_in_schema=False)
router.include_router(assets.router)
for module in (home, new_build, datasets, dataset_parts, exports, fleet, jobs, review, duplicates, sign_in, gallery, picture):
    router.include_router(module.router, dependencies=[Depends(require_token)])
